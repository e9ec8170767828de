"""The stand-in portal: an OpenCPS-dialect server that stores for real, to practise load tests on."""
