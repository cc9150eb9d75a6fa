"""Random programs that must do the same in each way: for test_one_behaviour.py."""
