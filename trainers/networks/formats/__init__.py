"""Formats of an encoder's file, one each, found by name: whose module its weights fit.

converted(content)     the file as that module takes it; EncoderFileError where the weights do not fit
lines(about, file)     three lines of Python that load the file
"""
