"""A certificate authority that lives as long as one test server, and a certificate for loopback."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM format."""

    authority: Path
    """What a client has to trust: ``ssl_ca_certs``."""
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """Write a certificate for ``localhost`` and ``127.0.0.1`` into a folder, with its key and who signed it."""
    made = Certificates(folder / "authority.pem", folder / "certificate.pem", folder / "key.pem")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(str(made.authority))
    issued.private_key_pem.write_to_path(str(made.key))
    for index, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(str(made.certificate), append=index > 0)
    return made
