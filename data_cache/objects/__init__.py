"""Vehicles in whole frames: tables of frames and boxes of many origins, their crops, and tables from file names."""
