"""Ladders of trainings that differ by one change each: what is it worth?"""
