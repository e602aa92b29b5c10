# Targets that install, test, check and show; included by the Makefile.
