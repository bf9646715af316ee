"""Says of each address on standard input, one a line, whether Python takes it for public: 1 or 0.

Prints the version of Python first: its list of special addresses grew over the years.
"""

import ipaddress
import platform
import sys

print(platform.python_version())
for line in sys.stdin:
    address = ipaddress.ip_address(line.strip())
    print(int(address.is_global and not address.is_multicast))
