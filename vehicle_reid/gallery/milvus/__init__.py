"""Galleries on a Milvus server or cluster."""
