"""Stage one: the part boxes of every image, in resumable shards."""
