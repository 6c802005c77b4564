"""Buckets: names, creation, deletion, listing, and settings that are not configured."""
import secrets

import botocore.exceptions

from harness.case import S3Case


class Names(S3Case):
    GOOD = ["abc", "a" * 63, "a.b-c", "1a1", "a--b", "my.bucket.name", "123"]
    BAD = ["ab", "a" * 64, "Abc", "a_b", "-abc", "abc-", ".abc", "abc.", "a..b", "192.168.1.1",
           "xn--abc", "abc-s3alias", "abc--ol-s3", "sthree-abc", "a%20b", "abc%00",
           "a%C3%A9b"]

    def test_good_names_are_created_and_deleted(self):
        for name in self.GOOD:
            with self.subTest(name=name):
                self.assert_reply(self.raw.request("PUT", f"/{name}"), 200)
                self.assert_reply(self.raw.request("DELETE", f"/{name}"), 204)

    def test_bad_names_are_refused(self):
        for name in self.BAD:
            with self.subTest(name=name):
                self.assert_reply(self.raw.request("PUT", f"/{name}"), 400, "InvalidBucketName")

    def test_reserved_paths_are_no_buckets(self):
        for name in ("v1", "_"):
            reply = self.raw.request("PUT", f"/{name}")
            self.assertIn(reply.status, (400, 403, 404, 405, 501), repr(reply))


class Life(S3Case):
    def test_create_answers_location_and_again_is_owned_by_you(self):
        bucket = "t-" + secrets.token_hex(6)
        answer = self.s3.create_bucket(Bucket=bucket)
        self.assertEqual(answer["Location"], f"/{bucket}")
        self.assert_reply(self.raw.request("PUT", f"/{bucket}"), 409, "BucketAlreadyOwnedByYou")

    def test_create_takes_the_locations_of_clients(self):
        for constraint in ("us-east-1", "EU"):
            bucket = "t-" + secrets.token_hex(6)
            body = ('<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                    f"<LocationConstraint>{constraint}</LocationConstraint>"
                    "</CreateBucketConfiguration>").encode()
            reply = self.raw.request("PUT", f"/{bucket}", body=body)
            with self.subTest(constraint=constraint):
                self.assertIn((reply.status, reply.code),
                              ((200, ""), (400, "InvalidLocationConstraint"),
                               (400, "IllegalLocationConstraintException")), repr(reply))

    def test_create_with_bad_xml_is_malformed(self):
        bucket = "t-" + secrets.token_hex(6)
        for body in (b"hello", b"<CreateBucketConfiguration>", b"<Other></Other>"):
            with self.subTest(body=body):
                self.assert_reply(self.raw.request("PUT", f"/{bucket}", body=body), 400,
                                  "MalformedXML")
                self.assert_reply(self.raw.request("HEAD", f"/{bucket}"), 404)

    def test_head_and_delete_of_a_missing_bucket(self):
        self.assert_reply(self.raw.request("HEAD", "/t-not-there"), 404)
        self.assert_reply(self.raw.request("DELETE", "/t-not-there"), 404, "NoSuchBucket")

    def test_head_names_the_region(self):
        reply = self.raw.request("HEAD", self.path())
        self.assertEqual(reply.headers.get("x-amz-bucket-region"), "us-east-1")

    def test_delete_refuses_a_bucket_with_objects_and_then_forgets_it(self):
        bucket = self.new_bucket()
        self.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        self.assert_client_error(409, "BucketNotEmpty", self.s3.delete_bucket, Bucket=bucket)
        self.s3.delete_object(Bucket=bucket, Key="k")
        self.s3.delete_bucket(Bucket=bucket)
        self.assert_client_error(404, "NoSuchBucket", self.s3.list_objects_v2, Bucket=bucket)
        self.s3.create_bucket(Bucket=bucket)
        self.assertEqual(self.s3.list_objects_v2(Bucket=bucket)["KeyCount"], 0)

    def test_delete_with_an_open_upload_then_a_new_bucket_does_not_show_it(self):
        bucket = self.new_bucket()
        self.s3.create_multipart_upload(Bucket=bucket, Key="k")
        try:
            self.s3.delete_bucket(Bucket=bucket)
        except botocore.exceptions.ClientError as error:
            self.assertEqual(error.response["Error"]["Code"], "BucketNotEmpty")
            return
        self.s3.create_bucket(Bucket=bucket)
        self.assertEqual(self.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []), [])

    def test_every_operation_on_a_missing_bucket_says_so(self):
        for method, query in (("GET", ""), ("GET", "list-type=2"), ("GET", "uploads"),
                              ("GET", "versions"), ("GET", "location"), ("GET", "versioning"),
                              ("GET", "acl"), ("GET", "policy"), ("DELETE", "")):
            with self.subTest(method=method, query=query):
                self.assert_reply(self.raw.request(method, "/t-not-there", query), 404,
                                  "NoSuchBucket")
        for method, query, headers in (
                ("GET", "", {}), ("PUT", "", {}), ("DELETE", "", {}), ("POST", "uploads", {}),
                ("PUT", "partNumber=1&uploadId=x", {}), ("GET", "uploadId=x", {}),
                ("PUT", "", {"x-amz-copy-source": f"/{self.bucket}/k"})):
            with self.subTest(method=method, query=query, headers=headers):
                reply = self.raw.request(method, "/t-not-there/k", query, headers)
                self.assert_reply(reply, 404, "NoSuchBucket")


class Listing(S3Case):
    def test_list_buckets_shows_all_in_order_with_dates(self):
        made = sorted(self.new_bucket() for _ in range(3))
        answer = self.s3.list_buckets()
        names = [bucket["Name"] for bucket in answer["Buckets"]]
        self.assertEqual(names, sorted(names))
        self.assertLessEqual(set(made), set(names))
        self.assertTrue(answer["Owner"]["ID"])
        self.assertTrue(all(bucket["CreationDate"] for bucket in answer["Buckets"]))

    def test_list_buckets_pages_and_filters(self):
        prefix = "page-" + secrets.token_hex(4) + "-"
        made = [f"{prefix}{index}" for index in range(5)]
        for name in made:
            self.s3.create_bucket(Bucket=name)
        seen, token = [], ""
        for _ in range(10):
            query = [("max-buckets", 2), ("prefix", prefix)]
            if token:
                query.append(("continuation-token", token))
            xml = self.raw.request("GET", "/", query).xml()
            page = [node.text for node in xml.iter("Name")]
            self.assertLessEqual(len(page), 2)
            seen += page
            token = xml.findtext("ContinuationToken")
            if not token:
                break
        self.assertEqual(seen, made)

    def test_list_buckets_refuses_wrong_page_sizes(self):
        for value in ("0", "-1", "10001", "x"):
            with self.subTest(value=value):
                self.assert_reply(self.raw.request("GET", "/", [("max-buckets", value)]), 400,
                                  "InvalidArgument")


class Settings(S3Case):
    def test_location_of_us_east_1_is_empty(self):
        self.assertIsNone(self.s3.get_bucket_location(Bucket=self.bucket)["LocationConstraint"])

    def test_settings_that_are_not_configured_answer_as_aws_does(self):
        for query, code in (
                ("policy", "NoSuchBucketPolicy"), ("cors", "NoSuchCORSConfiguration"),
                ("lifecycle", "NoSuchLifecycleConfiguration"), ("tagging", "NoSuchTagSet"),
                ("website", "NoSuchWebsiteConfiguration"),
                ("replication", "ReplicationConfigurationNotFoundError"),
                ("object-lock", "ObjectLockConfigurationNotFoundError"),
                ("policyStatus", "NoSuchBucketPolicy"),
                ("encryption", "ServerSideEncryptionConfigurationNotFoundError"),
                ("inventory&id=x", "NoSuchConfiguration"),
                ("analytics&id=x", "NoSuchConfiguration"),
                ("metrics&id=x", "NoSuchConfiguration"),
                ("intelligent-tiering&id=x", "NoSuchConfiguration"),
                ("publicAccessBlock", "NoSuchPublicAccessBlockConfiguration")):
            with self.subTest(query=query):
                self.assert_reply(self.raw.request("GET", self.path(), query), 404, code)

    def test_settings_with_a_default_answer_it(self):
        for query, root in (("versioning", "VersioningConfiguration"),
                            ("acl", "AccessControlPolicy"), ("logging", "BucketLoggingStatus"),
                            ("notification", "NotificationConfiguration"),
                            ("requestPayment", "RequestPaymentConfiguration"),
                            ("accelerate", "AccelerateConfiguration"),
                            ("ownershipControls", "OwnershipControls"),
                            ("inventory", "ListInventoryConfigurationsResult"),
                            ("analytics", "ListBucketAnalyticsConfigurationResult"),
                            ("metrics", "ListMetricsConfigurationsResult")):
            with self.subTest(query=query):
                reply = self.raw.request("GET", self.path(), query)
                self.assert_reply(reply, 200)
                self.assertEqual(reply.xml().tag, root)
        self.assertNotIn("Status", self.s3.get_bucket_versioning(Bucket=self.bucket))
        grants = self.s3.get_bucket_acl(Bucket=self.bucket)["Grants"]
        self.assertEqual([grant["Permission"] for grant in grants], ["FULL_CONTROL"])

    def test_object_settings_answer_as_aws_does(self):
        self.put("k")
        self.assertEqual(self.s3.get_object_tagging(Bucket=self.bucket, Key="k")["TagSet"], [])
        grants = self.s3.get_object_acl(Bucket=self.bucket, Key="k")["Grants"]
        self.assertEqual([grant["Permission"] for grant in grants], ["FULL_CONTROL"])
        for query in ("acl", "tagging"):
            self.assert_reply(self.raw.request("GET", self.path("none"), query), 404, "NoSuchKey")

    def test_what_is_not_there_is_not_implemented_and_changes_nothing(self):
        self.put("kept", b"kept")
        for method, path, query in (
                ("PUT", self.path(), "versioning"), ("PUT", self.path(), "policy"),
                ("PUT", self.path(), "lifecycle"), ("PUT", self.path(), "cors"),
                ("PUT", self.path(), "encryption"), ("PUT", self.path(), "replication"),
                ("PUT", self.path(), "website"), ("PUT", self.path(), "object-lock"),
                ("PUT", self.path(), "tagging"), ("DELETE", self.path(), "inventory"),
                ("PUT", self.path(), "inventory&id=x"), ("PUT", self.path(), "metrics&id=x"),
                ("PUT", self.path(), "publicAccessBlock"), ("PUT", self.path(), "logging"),
                ("PUT", self.path("kept"), "tagging"), ("PUT", self.path("kept"), "retention"),
                ("PUT", self.path("kept"), "legal-hold"), ("POST", self.path("kept"), "restore"),
                ("POST", self.path("kept"), "select"), ("GET", self.path("kept"), "torrent"),
                ("PUT", self.path("kept"), "renameObject")):
            with self.subTest(method=method, path=path, query=query):
                reply = self.raw.request(method, path, query, body=b"<X/>" if method != "GET"
                                         else b"")
                self.assert_reply(reply, 501, "NotImplemented")
        self.assertEqual(self.body("kept"), b"kept")

    def test_a_delete_of_a_setting_never_deletes_the_bucket_or_object(self):
        bucket = self.new_bucket()
        self.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        for path, query in ((f"/{bucket}", "policy"), (f"/{bucket}", "cors"),
                            (f"/{bucket}", "lifecycle"), (f"/{bucket}", "tagging"),
                            (f"/{bucket}/k", "tagging"), (f"/{bucket}/k", "unheard-of")):
            self.raw.request("DELETE", path, query)
            self.assert_reply(self.raw.request("HEAD", f"/{bucket}/k"), 200)
        self.s3.delete_object(Bucket=bucket, Key="k")
        for query in ("policy", "cors", "lifecycle", "tagging", "website", "encryption"):
            self.raw.request("DELETE", f"/{bucket}", query)
            self.assert_reply(self.raw.request("HEAD", f"/{bucket}"), 200)

    def test_methods_without_a_meaning_are_refused(self):
        for method, path in (("POST", "/"), ("PUT", "/"), ("DELETE", "/"), ("PATCH", self.path()),
                             ("POST", self.path("k"))):
            with self.subTest(method=method, path=path):
                reply = self.raw.request(method, path)
                self.assertIn(reply.status, (400, 405, 411, 412, 501), repr(reply))
                self.assertIn(reply.code, ("MethodNotAllowed", "NotImplemented", "InvalidRequest",
                                           "MalformedPOSTRequest", "PreconditionFailed"))


class Answers(S3Case):
    def test_every_answer_carries_a_request_id_that_is_in_the_error(self):
        for path in (self.path(), self.path("none"), "/t-not-there"):
            reply = self.raw.request("GET", path)
            identity = reply.headers.get("x-amz-request-id")
            self.assertTrue(identity, repr(reply))
            if reply.status >= 400:
                self.assertEqual(reply.xml().findtext("RequestId"), identity)

    def test_errors_name_their_resource_and_have_no_secret(self):
        reply = self.raw.request("GET", self.path("no such key"))
        xml = reply.xml()
        self.assertEqual((xml.tag, xml.findtext("Code"), xml.findtext("Key")),
                         ("Error", "NoSuchKey", "no such key"))
        self.assertEqual(reply.headers["content-type"], "application/xml")
        self.assertNotIn(self.server.secret_key.encode(), reply.body)

    def test_virtual_host_style_is_off_without_a_domain(self):
        self.put("k", b"x")
        reply = self.raw.request("GET", "/k", host=f"{self.bucket}.s3.example.com")
        self.assertEqual(reply.status, 404, repr(reply))

    def test_anonymous_requests_are_denied(self):
        self.put("k", b"x")
        for method, path in (("GET", "/"), ("GET", self.path()), ("GET", self.path("k")),
                             ("PUT", self.path("k2")), ("DELETE", self.path("k")),
                             ("GET", self.path("none")), ("GET", "/t-not-there")):
            with self.subTest(method=method, path=path):
                self.assert_reply(self.raw.request(method, path, sign=False), 403, "AccessDenied")
        self.assertEqual(self.body("k"), b"x")
        self.assert_absent("k2")

    def test_health_answers_without_a_signature_and_tells_nothing(self):
        for path in ("/_/health/live", "/_/health/ready"):
            reply = self.raw.request("GET", path, sign=False)
            self.assertEqual(reply.status, 200, repr(reply))
            self.assertNotIn(self.server.access_key.encode(), reply.body)
