"""Who becomes champion, and the trace that each move leaves."""
