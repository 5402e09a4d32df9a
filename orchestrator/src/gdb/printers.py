"""gdb finds libstdc++'s own way to show its types by the library's path, which is that of a
captured file here. Without it, a string is a structure, and a vector's elements are out of
reach: their operator would have to be called."""

import glob
import sys

sys.path += glob.glob("/usr/share/gcc*/python")
try:
    from libstdcxx.v6 import register_libstdcxx_printers
except ImportError:
    pass
else:
    register_libstdcxx_printers(None)
