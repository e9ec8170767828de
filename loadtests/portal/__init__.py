"""The stand-in portal: the OpenCPS dialect, stored for real, to practise load tests on."""
