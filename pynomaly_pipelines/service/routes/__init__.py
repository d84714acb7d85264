"""One module a noun: what a request asks -> what it is answered."""
