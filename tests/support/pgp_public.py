"""An OpenPGP public key of nobody: ed25519 to sign, cv25519 to encrypt, made on 2026-01-01."""

FINGERPRINT = "EE8E9A1DCAB66691CAEC776498F83EB24E72632F"
PUBLIC_KEY = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEaVW5ABYJKwYBBAHaRw8BAQdABix8mG0mmZps5rLQ4+mhSsHHhXyw0ofizFjz
5xTg4Si0H3BhcnRuZXIgPGZpbGVzQHBhcnRuZXIuZXhhbXBsZT6IkAQTFggAOBYh
BO6Omh3KtmaRyux3ZJj4PrJOcmMvBQJpVbkAAhsDBQsJCAcCBhUKCQgLAgQWAgMB
Ah4BAheAAAoJEJj4PrJOcmMv+zUBAMn37Wa9S8Xd3PASZidepznWRNV/yqssBa1X
1adzgEWPAQCCkHhIPcMth5fR2Fx96OYRjtnKVTtp+UMNXr/av7XCC7g4BGlVuQAS
CisGAQQBl1UBBQEBB0Ce+D6brQ+kX8D8VxWPqKLvvyg2kt41wL74noFW0UISCAMB
CAeIeAQYFggAIBYhBO6Omh3KtmaRyux3ZJj4PrJOcmMvBQJpVbkAAhsMAAoJEJj4
PrJOcmMvr5sA/jERaa05Pvq390lqUE73JRtvRmwKpnF8lb15VhdlVXKdAP9W8BKV
QpFpDAU+BJ0Sk9iYJTpZVoXGAHtiAs4SF1JQAA==
=9kdJ
-----END PGP PUBLIC KEY BLOCK-----
"""


def as_list(indent: int = 0) -> str:
    """Return it as the one item of a list in YAML."""
    lines = "".join(f"{' ' * (indent + 4)}{line}\n" for line in PUBLIC_KEY.splitlines())
    return f"{' ' * indent}- |\n{lines}"
