"""Load tests of the real portal, and the stand-in portal they can be run against."""
