"""The form of names in Kubernetes, and its description in messages: a label of RFC 1123.

Read by domain and specs.
"""

from typing import Final

DNS_LABEL: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
DNS_LABEL_SAYS: Final = "lower-case letters, digits and '-', starting and ending with a letter or digit, at most 63"
