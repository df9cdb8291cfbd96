"""Models and test sets -> a row of scores a mixture -> means, intervals, comparisons."""
