"""What ./do runs: checkers, the test runner and the documentation builder."""
