"""Signatures: wrong, missing, doubled, partial, stale, for another time, place or request."""
import time

from harness import raw, sigv4
from hostile_case import HostileCase

MALFORMED = (400, "AuthorizationHeaderMalformed")
QUERY = (400, "AuthorizationQueryParametersError")
DENIED = (403, "AccessDenied")
MISMATCH = (403, "SignatureDoesNotMatch")
DAY = 86400


class WrongSignatures(HostileCase):
    WRITES = (("PUT", "/k", "", b"x"), ("PUT", "", "", b""), ("DELETE", "/victim", "", b""),
              ("DELETE", "", "", b""), ("POST", "/k", "uploads", b""),
              ("PUT", "/k", "partNumber=1&uploadId=0", b"x"),
              ("POST", "/k", "uploadId=0", b"<CompleteMultipartUpload/>"),
              ("DELETE", "/k", "uploadId=0", b""),
              ("POST", "", "delete", b"<Delete><Object><Key>victim</Key></Object></Delete>"))
    READS = (("GET", "/victim", ""), ("HEAD", "/victim", ""), ("GET", "", ""),
             ("GET", "", "list-type=2"), ("GET", "", "uploads"), ("GET", "", "versions"),
             ("GET", "", "policy"), ("GET", "/victim", "attributes"), ("GET", "/victim", "acl"))

    def test_every_route_refuses_a_wrong_signature_and_an_unknown_key(self):
        routes = self.WRITES + tuple(route + (b"",) for route in self.READS)
        for client, code in ((self.stranger, "SignatureDoesNotMatch"),
                             (self.unknown, "InvalidAccessKeyId")):
            for method, key, query, body in routes:
                with self.subTest(method=method, key=key, query=query, code=code):
                    reply = client.request(method, self.path() + key, query, body=body)
                    self.assertEqual(reply.status, 403, repr(reply))
                    if method != "HEAD":
                        self.assertEqual(reply.code, code)

    def test_every_write_refuses_streaming_bodies_of_strangers(self):
        trailer = ("x-amz-checksum-crc32", sigv4.checksum("CRC32", b"data"))
        for payload in (sigv4.UNSIGNED_TRAILER, sigv4.CHUNKS, sigv4.CHUNKS_TRAILER):
            for transfer in (False, True):
                with self.subTest(payload=payload, transfer=transfer):
                    reply = self.stranger.chunked_put(
                        self.path("k"), [b"data"], payload=payload, transfer=transfer,
                        trailer=None if payload == sigv4.CHUNKS else trailer)
                    self.assert_one_of(reply, MISMATCH)

    def test_anonymous_streaming_bodies_are_denied(self):
        for payload in (sigv4.UNSIGNED_TRAILER, sigv4.CHUNKS, sigv4.UNSIGNED):
            headers = {"x-amz-content-sha256": payload, "x-amz-decoded-content-length": "1"}
            reply = self.raw.request("PUT", self.path("k"), headers=headers, body=b"x", sign=False)
            self.assert_one_of(reply, DENIED)

    def test_a_credential_in_the_query_alone_is_no_authentication(self):
        scope = self.raw.signer.scope(sigv4.amz_date())
        for query in ([("X-Amz-Credential", f"{self.server.access_key}/{scope}")],
                      [("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
                       ("X-Amz-Credential", f"{self.server.access_key}/{scope}")],
                      [("X-Amz-Signature", "0" * 64)]):
            for headers in ({}, {"x-amz-content-sha256": sigv4.UNSIGNED_TRAILER}):
                with self.subTest(query=query, headers=headers):
                    reply = self.raw.request("PUT", self.path("k"), query, headers, b"x",
                                             sign=False)
                    self.assert_one_of(reply, DENIED, QUERY)

    def test_the_body_says_how_the_signature_was_computed_and_not_the_secret(self):
        reply = self.stranger.request("GET", self.path("victim"))
        xml = reply.xml()
        self.assertTrue(xml.findtext("CanonicalRequest").startswith("GET\n/"))
        self.assertTrue(xml.findtext("StringToSign").startswith("AWS4-HMAC-SHA256\n"))
        self.assertNotIn(self.server.secret_key.encode(), reply.body)

    def test_flipping_any_part_of_the_request_breaks_the_signature(self):
        head, _ = self.raw.build("PUT", self.path("flip"), "a=1", {"x-amz-meta-a": "1"}, b"body")
        text = head.decode()
        for old, new in (("PUT ", "POST "), ("/flip", "/flop"), ("a=1", "a=2"),
                         ("meta-a: 1", "meta-a: 2"), ("meta-a", "meta-b")):
            with self.subTest(old=old):
                data = text.replace(old, new, 1).encode() + b"body"
                reply = raw.exchange(self.server, data, "PUT")
                self.assertEqual(reply.status, 403, repr(reply))

    def test_unknown_key_and_wrong_signature_take_about_as_long(self):
        def quick(client):
            times = []
            for _ in range(60):
                start = time.perf_counter()
                client.request("GET", self.path("victim"))
                times.append(time.perf_counter() - start)
            return sorted(times)[len(times) // 2]
        first, second = quick(self.stranger), quick(self.unknown)
        self.assertLess(abs(first - second), 0.005)


class Mechanisms(HostileCase):
    def test_header_and_query_together_are_invalid(self):
        query = self.raw.signer.presign("GET", self.path("victim"), "",
                                        [("Host", self.server.host)])
        reply = self.raw.request("GET", self.path("victim"), query)
        self.assert_one_of(reply, (400, "InvalidArgument"))

    def test_two_authorization_headers_are_refused(self):
        head, _ = self.raw.build("GET", self.path("victim"))
        line = next(part for part in head.split(b"\r\n") if part.startswith(b"Authorization"))
        for extra in (line, b"Authorization: Basic eDp5"):
            for data in (head[:-2] + extra + b"\r\n\r\n",
                         head.replace(line, extra + b"\r\n" + line)):
                reply = raw.exchange(self.server, data)
                self.assertEqual(reply.status, 400, repr(reply))

    def test_other_schemes_are_refused(self):
        for value in ("AWS AK:sig", "Basic eDp5", "Bearer x", "", "AWS4-HMAC-SHA256",
                      "AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256 x", "AWS4-HMAC-SHA1 Credential=x",
                      "AWS4-HMAC-SHA256 Credential=,SignedHeaders=,Signature=",
                      "AWS4-HMAC-SHA256 Credential=a/b/c/d/e,SignedHeaders=host",
                      "AWS4-HMAC-SHA256 " + "Credential=a/b/c/d/e," * 50,
                      "AWS4-ECDSA-P256-SHA256 Credential=a/b/c/d/e,SignedHeaders=host,Signature=0"):
            with self.subTest(value=value[:60]):
                reply = self.raw.request("GET", self.path("victim"), sign=False, headers={
                    "Authorization": value, "x-amz-date": sigv4.amz_date(),
                    "x-amz-content-sha256": sigv4.EMPTY_SHA256})
                self.assertIn(reply.status, (400, 403, 501), repr(reply))  # 501: SigV4A
                self.assertTrue(reply.code)

    def test_signatures_of_wrong_form_are_refused(self):
        for signature in ("x", "0" * 63, "0" * 65, "0" * 5000, "Z" * 64, "%00" * 20):
            with self.subTest(signature=signature[:10]):
                reply = self.raw.request("GET", self.path("victim"), signature=signature)
                self.assertIn(reply.status, (400, 403), repr(reply))


class SignedHeaders(HostileCase):
    def test_unsigned_amz_headers_and_host_are_denied(self):
        base = ["host", "x-amz-content-sha256", "x-amz-date"]
        for extra, signed in (({"x-amz-meta-a": "1"}, base), ({"x-amz-acl": "private"}, base),
                              ({"x-amz-copy-source": f"{self.bucket}/victim"}, base),
                              ({}, base[1:]), ({}, ["host", "x-amz-date"]),
                              ({}, ["host", "x-amz-content-sha256"])):
            with self.subTest(extra=extra, signed=signed):
                reply = self.raw.request("PUT", self.path("k"), headers=extra, body=b"x",
                                         signed=signed)
                self.assert_one_of(reply, DENIED, MISMATCH)

    def test_an_amz_header_added_after_signing_is_denied(self):
        head, body = self.raw.build("PUT", self.path("k"), body=b"x")
        data = head[:-2] + b"x-amz-meta-late: 1\r\n\r\n" + body
        self.assert_one_of(raw.exchange(self.server, data, "PUT"), DENIED)

    def test_odd_lists_of_signed_headers_are_refused(self):
        for signed in ([], [""], ["host", ""], ["x-amz-date", "host", "x-amz-content-sha256"],
                       ["host", "host", "x-amz-content-sha256", "x-amz-date"],
                       ["host", "x-amz-content-sha256", "x-amz-date", "x-not-there"],
                       ["Host", "X-Amz-Content-Sha256", "X-Amz-Date"]):
            with self.subTest(signed=signed):
                reply = self.raw.request("GET", self.path("victim"), signed=signed)
                self.assertIn(reply.status, (400, 403), repr(reply))

    def test_a_presigned_url_must_sign_the_amz_headers_that_come_with_it(self):
        query = self.raw.signer.presign("PUT", self.path("k"), "", [("Host", self.server.host)])
        data = raw.head_bytes("PUT", self.path("k") + "?" + query, [
            ("Host", self.server.host), ("x-amz-meta-a", "1"), ("Content-Length", "0")])
        self.assert_one_of(raw.exchange(self.server, data, "PUT"), DENIED)


class TimeAndScope(HostileCase):
    def test_clocks_more_than_fifteen_minutes_apart_are_too_skewed(self):
        for skew in (-3600, -16 * 60, 16 * 60, 3600, -400 * DAY, 400 * DAY):
            with self.subTest(skew=skew):
                reply = self.raw.request("GET", self.path("victim"),
                                         date=sigv4.amz_date(skew_s=skew))
                self.assert_one_of(reply, (403, "RequestTimeTooSkewed"))
        for skew in (-13 * 60, 13 * 60):
            reply = self.raw.request("GET", self.path("victim"), date=sigv4.amz_date(skew_s=skew))
            self.assertEqual(reply.status, 200, repr(reply))

    def test_malformed_and_missing_dates(self):
        for date in ("", "x", "20261121", "20261121T101010", "2026-11-21T10:10:10Z",
                     "20261321T101010Z", "20261121T251010Z", "99999999T999999Z"):
            with self.subTest(date=date):
                reply = self.raw.request("GET", self.path("victim"), headers={"x-amz-date": date},
                                         scope={"scope_date": sigv4.amz_date()[:8]})
                self.assertIn(reply.status, (400, 403), repr(reply))

    def test_wrong_parts_of_the_scope(self):
        for scope in ({"scope_date": "20200101"}, {"service": "ec2"},
                      {"terminator": "aws5_request"}, {"scope_date": "2026112"},
                      {"scope_date": "x"}):
            with self.subTest(scope=scope):
                reply = self.raw.request("GET", self.path("victim"), scope=scope)
                self.assert_one_of(reply, MALFORMED)
                query = self.raw.presigned("GET", self.path("victim"), scope=scope)
                self.assert_one_of(query, QUERY)

    def test_any_region_is_taken_when_it_is_signed(self):
        for region in ("US", "eu-central-1", "auto", "garage"):
            reply = self.raw.request("GET", self.path("victim"), scope={"region": region})
            self.assertEqual(reply.status, 200, repr(reply))


class Presigned(HostileCase):
    def test_a_good_one_works_for_its_method_path_and_query_only(self):
        self.assertEqual(self.raw.presigned("GET", self.path("victim")).status, 200)
        self.assert_one_of(self.raw.presigned("DELETE", self.path("victim"),
                                              presign_method="GET"), MISMATCH)
        query = self.raw.signer.presign("GET", self.path("victim"), "",
                                        [("Host", self.server.host)])
        for target in (self.path("other") + "?" + query, self.path() + "?" + query,
                       self.path("victim") + "?acl&" + query,
                       self.path("victim") + "?" + query + "&response-content-type=text%2Fhtml"):
            data = raw.head_bytes("GET", target, [("Host", self.server.host)])
            self.assert_one_of(raw.exchange(self.server, data), MISMATCH)

    def test_expiry(self):
        def at(skew, expires):
            return self.raw.presigned("GET", self.path("victim"), expires=expires,
                                      date=sigv4.amz_date(skew_s=skew))
        self.assertEqual(at(-100, 200).status, 200)
        self.assertEqual(at(-6 * DAY, 7 * DAY).status, 200)
        self.assert_one_of(at(-100, 50), DENIED)
        self.assert_one_of(at(-8 * DAY, 7 * DAY), DENIED)
        self.assert_one_of(at(3600, 600), DENIED)
        for expires in (-1, 7 * DAY + 1, "x", "", "1e3", "99999999999999999999"):
            with self.subTest(expires=expires):
                self.assert_one_of(at(0, expires), QUERY)

    def test_missing_and_repeated_parameters(self):
        full = self.raw.signer.presign("GET", self.path("victim"), "", [("Host",
                                                                         self.server.host)])
        parts = full.split("&")
        for index, part in enumerate(parts):
            name = part.partition("=")[0]
            for query in ("&".join(parts[:index] + parts[index + 1:]),
                          full + "&" + part, full + f"&{name}=x"):
                with self.subTest(name=name, query=query[-30:]):
                    data = raw.head_bytes("GET", f"{self.path('victim')}?{query}",
                                          [("Host", self.server.host)])
                    reply = raw.exchange(self.server, data)
                    self.assertIn(reply.status, (400, 403), repr(reply))

    def test_names_of_the_parameters_in_other_case_do_not_count(self):
        query = self.raw.signer.presign("GET", self.path("victim"), "",
                                        [("Host", self.server.host)]).replace("X-Amz", "x-amz")
        data = raw.head_bytes("GET", f"{self.path('victim')}?{query}",
                              [("Host", self.server.host)])
        self.assertIn(raw.exchange(self.server, data).status, (400, 403))
