"""An independent AWS Signature Version 4 signer that can also be made to sign wrongly.

It shares no code with the server and none with botocore (tests/s3/test_sigv4.py compares them). A
path and a query are always the raw text as it goes on the wire: nothing is normalised here, so a
test says exactly what it sends.
"""
import base64
import datetime
import hashlib
import hmac
import json
import urllib.parse
import zlib

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
CHUNKS_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def quote(text, safe=""):
    """Percent-encoding as SigV4 wants it; str is encoded as UTF-8, bytes are taken as they are."""
    return urllib.parse.quote(text, safe=safe + "-_.~")


def query_string(pairs):
    """Raw query from (name, value) pairs; value None gives a bare name."""
    return "&".join(quote(n) if v is None else f"{quote(n)}={quote(str(v))}" for n, v in pairs)


def amz_date(when=None, skew_s=0):
    when = when or datetime.datetime.now(datetime.timezone.utc)
    return (when + datetime.timedelta(seconds=skew_s)).strftime("%Y%m%dT%H%M%SZ")


def canonical_query(raw_query, without=()):
    pairs = []
    for item in raw_query.split("&") if raw_query else []:
        name, _, value = item.partition("=")
        name = quote(urllib.parse.unquote_to_bytes(name))
        if name not in without:
            pairs.append((name, quote(urllib.parse.unquote_to_bytes(value))))
    return "&".join(f"{n}={v}" for n, v in sorted(pairs))


def _hmac(key, text):
    return hmac.new(key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()


class Signer:
    """Signs with one key. Every keyword of a method is a mistake waiting to be made."""

    def __init__(self, access_key, secret_key, region="us-east-1", service="s3"):
        self.access_key, self.secret_key = access_key, secret_key
        self.region, self.service = region, service

    def scope(self, date, scope_date=None, region=None, service=None, terminator="aws4_request"):
        return "/".join([scope_date or date[:8], region or self.region, service or self.service,
                         terminator])

    def signing_key(self, scope):
        date, region, service, terminator = scope.split("/")
        key = _hmac(("AWS4" + self.secret_key).encode(), date)
        for part in (region, service, terminator):
            key = _hmac(key, part)
        return key

    @staticmethod
    def canonical_request(method, path, query, headers, signed, payload):
        values = {}
        for name, value in headers:
            value = " ".join(value.split())
            low = name.lower()
            values[low] = f"{values[low]},{value}" if low in values else value
        lines = [method, path, canonical_query(query, without=("X-Amz-Signature",))]
        lines += [f"{name}:{values.get(name, '')}" for name in signed]
        lines += ["", ";".join(signed), payload]
        return "\n".join(lines)

    def signature(self, canonical, date, scope):
        text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(
            canonical.encode("utf-8", "surrogateescape")).hexdigest()])
        return _hmac(self.signing_key(scope), text).hex()

    def sign(self, method, path, query, headers, payload=EMPTY_SHA256, date=None, signed=None,
             scope=None, signature=None, algorithm="AWS4-HMAC-SHA256", send_payload=True):
        """Answers headers (a list of pairs, holding Host) with date, payload and Authorization.

        signed: names to sign instead of all. scope: keywords for scope(). signature: sent instead.
        """
        headers = list(headers)
        present = {name.lower() for name, _ in headers}
        if "x-amz-date" not in present:
            headers.append(("x-amz-date", date or amz_date()))
        date = date or next(v for n, v in headers if n.lower() == "x-amz-date")
        if send_payload and "x-amz-content-sha256" not in present:
            headers.append(("x-amz-content-sha256", payload))
        if signed is None:
            signed = sorted({name.lower() for name, _ in headers})
        scope = self.scope(date, **(scope or {}))
        canonical = self.canonical_request(method, path, query, headers, signed, payload)
        value = signature or self.signature(canonical, date, scope)
        self.seed = value
        self.date, self.scope_text = date, scope
        headers.append(("Authorization",
                        f"{algorithm} Credential={self.access_key}/{scope},"
                        f"SignedHeaders={';'.join(signed)},Signature={value}"))
        return headers

    def presign(self, method, path, query, headers, expires=600, date=None, signed=None, scope=None,
                payload=UNSIGNED, signature=None, algorithm="AWS4-HMAC-SHA256"):
        """Answers the raw query with the signature. headers holds Host."""
        date = date or amz_date()
        scope = self.scope(date, **(scope or {}))
        if signed is None:
            signed = sorted({name.lower() for name, _ in headers})
        extra = query_string([
            ("X-Amz-Algorithm", algorithm), ("X-Amz-Credential", f"{self.access_key}/{scope}"),
            ("X-Amz-Date", date), ("X-Amz-Expires", expires),
            ("X-Amz-SignedHeaders", ";".join(signed))])
        query = f"{query}&{extra}" if query else extra
        canonical = self.canonical_request(method, path, query, headers, signed, payload)
        return f"{query}&X-Amz-Signature={signature or self.signature(canonical, date, scope)}"

    # ---- aws-chunked ----
    def chunk_signature(self, previous, data):
        text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", self.date, self.scope_text, previous,
                          EMPTY_SHA256, hashlib.sha256(data).hexdigest()])
        return _hmac(self.signing_key(self.scope_text), text).hex()

    def trailer_signature(self, previous, trailer):
        text = "\n".join(["AWS4-HMAC-SHA256-TRAILER", self.date, self.scope_text, previous,
                          hashlib.sha256(trailer).hexdigest()])
        return _hmac(self.signing_key(self.scope_text), text).hex()

    def chunked_body(self, pieces, trailer=None, bad_chunk=None, bad_trailer=False, end=True):
        """Body of signed chunks after sign(). trailer: (name, value). bad_chunk: index of the chunk
        whose signature is spoilt (len(pieces) is the final one). end=False leaves the final out."""
        out, previous = [], self.seed
        for index, data in enumerate(list(pieces) + ([b""] if end else [])):
            previous = self.chunk_signature(previous, data)
            shown = "0" * 64 if index == bad_chunk else previous
            out.append(b"%x;chunk-signature=%s\r\n" % (len(data), shown.encode()))
            if data:
                out.append(data + b"\r\n")
            elif trailer is None:
                out.append(b"\r\n")
        if trailer is not None and end:
            name, value = trailer
            line = f"{name}:{value}".encode()
            signature = "0" * 64 if bad_trailer else self.trailer_signature(previous, line + b"\n")
            out.append(line + b"\r\nx-amz-trailer-signature:" + signature.encode() + b"\r\n\r\n")
        return b"".join(out)

    # ---- POST forms ----
    def post_fields(self, conditions, expiration_s=600, date=None, policy=None, scope=None,
                    signature=None):
        """Form fields for a policy of conditions (a list); policy: raw text used instead."""
        date = date or amz_date()
        credential = f"{self.access_key}/{self.scope(date, **(scope or {}))}"
        fields = {"x-amz-algorithm": "AWS4-HMAC-SHA256", "x-amz-credential": credential,
                  "x-amz-date": date}
        if policy is None:
            until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(
                seconds=expiration_s)
            policy = json.dumps({
                "expiration": until.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
                "conditions": list(conditions) + [{n: v} for n, v in fields.items()]})
        fields["policy"] = base64.b64encode(policy.encode()).decode()
        key = self.signing_key(self.scope(date, **(scope or {})))
        fields["x-amz-signature"] = signature or hmac.new(
            key, fields["policy"].encode(), hashlib.sha256).hexdigest()
        return fields


def unsigned_chunked_body(pieces, trailer=None, end=True):
    out = [b"%x\r\n" % len(data) + data + b"\r\n" for data in pieces if data]
    if end:
        out.append(b"0\r\n")
        if trailer:
            out.append(f"{trailer[0]}:{trailer[1]}\r\n".encode())
        out.append(b"\r\n")
    return b"".join(out)


# ---- checksums, each from its definition ----
def _table(poly, bits):
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (poly if crc & 1 else 0)
        table.append(crc)
    return table, (1 << bits) - 1


_CRC32C = _table(0x82F63B78, 32)
_CRC64NVME = _table(0x9A6C9329AC4BC9B5, 64)


def _crc(data, table_mask):
    table, mask = table_mask
    crc = mask
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc ^ mask


def checksum_bytes(algorithm, data):
    algorithm = algorithm.upper()
    if algorithm == "CRC32":
        return zlib.crc32(data).to_bytes(4, "big")
    if algorithm == "CRC32C":
        return _crc(data, _CRC32C).to_bytes(4, "big")
    if algorithm == "CRC64NVME":
        return _crc(data, _CRC64NVME).to_bytes(8, "big")
    return hashlib.new(algorithm.lower(), data).digest()


def checksum(algorithm, data):
    """Base64, as in x-amz-checksum-*."""
    return base64.b64encode(checksum_bytes(algorithm, data)).decode()


def content_md5(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()
