"""Estimators tried on windows of the past: backtests, and searches over hyper-parameters."""
