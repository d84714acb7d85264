"""Whether new partitions are like those the champion was trained on."""
