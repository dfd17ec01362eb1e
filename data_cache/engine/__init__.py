"""Batch work on Ray: the session and the queue of tasks that both stages use."""
