"""An issuer of JWTs on loopback, over TLS with a certificate of its own, as an OpenID provider publishes its keys."""

import datetime as dt
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "llm"
DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/keys"


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def jwk_of(key: Any, kid: str) -> dict[str, Any]:
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    public: dict[str, Any] = algorithm.to_jwk(key.public_key(), as_dict=True)
    return {**public, "kid": kid, "use": "sig"}


@dataclass
class Issuer:
    """What it publishes and who asked; tests change it as they like.

    Attributes:
        url: as its tokens' `iss`.
        certificate: file of the certificate to trust.
        keys: private keys by id.
        published: the JWKS as it is sent; None: made of `keys`.
        document: changes to the OpenID configuration.
        status: of every answer.
        asked: paths of the requests so far.
    """

    url: str
    certificate: Path
    keys: dict[str, Any] = field(default_factory=dict)
    published: bytes | None = None
    document: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    asked: list[str] = field(default_factory=list)

    def token(self, kid: str = "rsa", algorithm: str = "RS256", *, key: Any = None, **claims: Any) -> str:
        """A token of acme that is valid now; claims of None are left out."""
        now = int(time.time())
        given = {"iss": self.url, "aud": AUDIENCE, "sub": "somebody", "iat": now, "nbf": now, "exp": now + 300}
        given |= {"tenant": "acme"} | claims
        kept = {name: value for name, value in given.items() if value is not None}
        return jwt.encode(kept, self.keys[kid] if key is None else key, algorithm, {"kid": kid})

    def answer(self, path: str) -> bytes:
        self.asked.append(path)
        if path == DISCOVERY:
            return json.dumps({"issuer": self.url, "jwks_uri": self.url + JWKS} | self.document).encode()
        if path == JWKS:
            return self.published or json.dumps({"keys": [jwk_of(key, kid) for kid, key in self.keys.items()]}).encode()
        raise AssertionError(path)


@contextmanager
def issuing(folder: Path) -> Iterator[Issuer]:
    """Run one, with an RSA key and an elliptic one."""
    certificate = folder / "issuer.pem"
    certificate.write_bytes(_certificate())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = issuer.answer(self.path)
            self.send_response(issuer.status)
            if issuer.status // 100 == 3:
                self.send_header("Location", issuer.url + JWKS)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        issuer = Issuer(f"https://127.0.0.1:{server.server_port}", certificate, {"rsa": rsa_key(), "ec": ec_key()})
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()


def _certificate() -> bytes:
    key = ec_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + made.public_bytes(serialization.Encoding.PEM)
