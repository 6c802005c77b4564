"""ListObjects, ListObjectsV2 and ListObjectVersions in all their parameters."""
import concurrent.futures
import urllib.parse

from harness.case import S3Case

KEYS = ["a", "a/b", "a/b/c", "b", "dir/", "dir/one", "dir/two", "dir2/x", "photos/1", "photos/2/x",
        "photos/2/y", "z"]


class ListCase(S3Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for key in KEYS:
            cls.s3.put_object(Bucket=cls.bucket, Key=key, Body=key.encode())

    def listing(self, **options):
        answer = self.s3.list_objects_v2(Bucket=self.bucket, **options)
        return ([item["Key"] for item in answer.get("Contents", [])],
                [item["Prefix"] for item in answer.get("CommonPrefixes", [])], answer)

    def xml(self, query):
        reply = self.raw.request("GET", self.path(), query)
        self.assert_reply(reply, 200)
        return reply.xml()


class ListV2(ListCase):
    def test_all_keys_in_byte_order(self):
        keys, prefixes, answer = self.listing()
        self.assertEqual((keys, prefixes), (KEYS, []))
        self.assertEqual((answer["KeyCount"], answer["MaxKeys"], answer["IsTruncated"],
                          answer["Name"], answer.get("Prefix")),
                         (len(KEYS), 1000, False, self.bucket, ""))

    def test_an_entry_shows_size_etag_date_class_and_owner_only_when_asked(self):
        _, _, answer = self.listing(Prefix="b")
        item = answer["Contents"][0]
        self.assertEqual((item["Size"], item["ETag"], item["StorageClass"]),
                         (1, '"92eb5ffee6ae2fec3ad71c777531578f"', "STANDARD"))
        head = self.s3.head_object(Bucket=self.bucket, Key="b")
        self.assertEqual(item["LastModified"].replace(microsecond=0), head["LastModified"])
        self.assertNotIn("Owner", item)
        _, _, answer = self.listing(Prefix="b", FetchOwner=True)
        self.assertTrue(answer["Contents"][0]["Owner"]["ID"])

    def test_prefix_and_delimiter(self):
        for options, keys, prefixes in (
                ({"Prefix": "a"}, ["a", "a/b", "a/b/c"], []),
                ({"Prefix": "a/"}, ["a/b", "a/b/c"], []),
                ({"Delimiter": "/"}, ["a", "b", "z"], ["a/", "dir/", "dir2/", "photos/"]),
                ({"Prefix": "a", "Delimiter": "/"}, ["a"], ["a/"]),
                ({"Prefix": "a/", "Delimiter": "/"}, ["a/b"], ["a/b/"]),
                ({"Prefix": "dir/", "Delimiter": "/"}, ["dir/", "dir/one", "dir/two"], []),
                ({"Prefix": "photos/", "Delimiter": "/"}, ["photos/1"], ["photos/2/"]),
                ({"Prefix": "none"}, [], []), ({"Prefix": "none", "Delimiter": "/"}, [], []),
                ({"Delimiter": "r"}, ["a", "a/b", "a/b/c", "b", "photos/1", "photos/2/x",
                                      "photos/2/y", "z"], ["dir"]),
                ({"Delimiter": "o/"}, KEYS, []),
                ({"Delimiter": "tos/"}, [k for k in KEYS if not k.startswith("photos")],
                 ["photos/"])):
            with self.subTest(options=options):
                self.assertEqual(self.listing(**options)[:2], (keys, prefixes))

    def test_start_after(self):
        for after, expected in (("", KEYS), ("a", KEYS[1:]), ("a/b/c", KEYS[3:]),
                                ("aa", KEYS[3:]), ("z", []), ("zz", [])):
            with self.subTest(after=after):
                keys, _, answer = self.listing(StartAfter=after)
                self.assertEqual(keys, expected)
                if after:
                    self.assertEqual(answer["StartAfter"], after)

    def test_start_after_inside_a_common_prefix_skips_it_not(self):
        # a key after "dir/one" is still below dir/, so its common prefix is listed
        keys, prefixes, _ = self.listing(StartAfter="dir/one", Delimiter="/")
        self.assertEqual((keys, prefixes), (["z"], ["dir/", "dir2/", "photos/"]))
        keys, prefixes, _ = self.listing(StartAfter="dir/two", Delimiter="/")
        self.assertEqual((keys, prefixes), (["z"], ["dir2/", "photos/"]))

    def test_paging_sees_every_entry_once_for_every_page_size(self):
        for size in range(1, len(KEYS) + 2):
            for delimiter in ("", "/"):
                with self.subTest(size=size, delimiter=delimiter):
                    self.check_paging(size, delimiter)

    def check_paging(self, size, delimiter):
        keys, prefixes, token, rounds = [], [], None, 0
        while True:
            options = {"MaxKeys": size, "Delimiter": delimiter}
            if token:
                options["ContinuationToken"] = token
            page_keys, page_prefixes, answer = self.listing(**options)
            self.assertLessEqual(len(page_keys) + len(page_prefixes), size)
            self.assertEqual(answer["KeyCount"], len(page_keys) + len(page_prefixes))
            keys, prefixes, rounds = keys + page_keys, prefixes + page_prefixes, rounds + 1
            self.assertEqual(answer["IsTruncated"], "NextContinuationToken" in answer)
            if not answer["IsTruncated"]:
                break
            self.assertEqual(len(page_keys) + len(page_prefixes), size)
            token = answer["NextContinuationToken"]
            self.assertLess(rounds, 50)
        whole = self.listing(Delimiter=delimiter)
        self.assertEqual((keys, prefixes), whole[:2])

    def test_the_token_wins_over_start_after(self):
        _, _, answer = self.listing(MaxKeys=3)
        keys, _, _ = self.listing(ContinuationToken=answer["NextContinuationToken"], StartAfter="z")
        self.assertEqual(keys, KEYS[3:])

    def test_max_keys(self):
        for value, count, shown in (("0", 0, "0"), ("1", 1, "1"), ("1000", len(KEYS), "1000"),
                                    ("2000", len(KEYS), "1000"), ("2147483647", len(KEYS), "1000")):
            with self.subTest(value=value):
                xml = self.xml([("list-type", 2), ("max-keys", value)])
                self.assertEqual((len(xml.findall("Contents")), xml.findtext("MaxKeys")),
                                 (count, shown))
        xml = self.xml([("list-type", 2), ("max-keys", 0)])
        self.assertEqual((xml.findtext("IsTruncated"), xml.findtext("KeyCount")), ("false", "0"))

    def test_wrong_parameters_are_invalid_arguments(self):
        for name, value in (("max-keys", "-1"), ("max-keys", "x"), ("max-keys", "1.5"),
                            ("max-keys", "2147483648"), ("max-keys", "1000000000000"),
                            ("max-keys", "%00"), ("encoding-type", "base64"),
                            ("continuation-token", ""), ("continuation-token", "not one of ours")):
            with self.subTest(name=name, value=value):
                reply = self.raw.request("GET", self.path(), [("list-type", 2), (name, value)])
                self.assert_reply(reply, 400, "InvalidArgument")

    def test_an_unknown_list_type_is_an_invalid_argument(self):
        self.assert_reply(self.raw.request("GET", self.path(), "list-type=3"), 400,
                          "InvalidArgument")

    def test_checksum_algorithm_and_type_are_listed(self):
        item = self.listing(Prefix="b")[2]["Contents"][0]
        if "ChecksumAlgorithm" in item:
            self.assertEqual(len(item["ChecksumAlgorithm"]), 1)


class ListV1(ListCase):
    def test_marker_and_next_marker(self):
        answer = self.s3.list_objects(Bucket=self.bucket, Marker="a/b/c", MaxKeys=2)
        self.assertEqual([item["Key"] for item in answer["Contents"]], ["b", "dir/"])
        self.assertEqual((answer["Marker"], answer["IsTruncated"], answer["MaxKeys"]),
                         ("a/b/c", True, 2))
        self.assertNotIn("NextMarker", answer)  # only with a delimiter
        self.assertTrue(answer["Contents"][0]["Owner"]["ID"])

    def test_paging_with_a_delimiter_goes_by_next_marker(self):
        for size in range(1, 9):
            seen, marker = [], ""
            for _ in range(30):
                answer = self.s3.list_objects(Bucket=self.bucket, Delimiter="/", Marker=marker,
                                              MaxKeys=size)
                page = ([item["Key"] for item in answer.get("Contents", [])] +
                        [item["Prefix"] for item in answer.get("CommonPrefixes", [])])
                seen += page
                if not answer["IsTruncated"]:
                    break
                marker = answer["NextMarker"]
                self.assertEqual(marker, max(page))
            self.assertEqual(sorted(seen), ["a", "a/", "b", "dir/", "dir2/", "photos/", "z"])

    def test_a_marker_that_is_a_common_prefix_skips_all_below_it(self):
        answer = self.s3.list_objects(Bucket=self.bucket, Delimiter="/", Marker="dir/")
        self.assertEqual([item["Prefix"] for item in answer["CommonPrefixes"]],
                         ["dir2/", "photos/"])

    def test_empty_bucket(self):
        answer = self.s3.list_objects(Bucket=self.new_bucket())
        self.assertNotIn("Contents", answer)
        self.assertFalse(answer["IsTruncated"])


class Encoding(S3Case):
    NAMES = ["a b", "a+b", "a%b", "a&b<c>\"'", "tab\there", "é", "日本", "new\nline", "\x01x",
             "a,b", "~-_.!*()", "\U0001f600"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name in cls.NAMES:
            cls.s3.put_object(Bucket=cls.bucket, Key=name, Body=b"x")

    def test_encoded_listings_hold_every_key(self):
        for kind in ([("list-type", 2)], []):
            reply = self.raw.request("GET", self.path(), kind + [("encoding-type", "url")])
            xml = reply.xml()
            self.assertEqual(xml.findtext("EncodingType"), "url")
            shown = [node.findtext("Key") for node in xml.findall("Contents")]
            self.assertEqual([urllib.parse.unquote_plus(key) for key in shown],
                             sorted(self.NAMES, key=str.encode))
            self.assertTrue(all(key.isascii() and " " not in key for key in shown), shown)

    def test_encoding_covers_prefix_delimiter_and_markers(self):
        xml = self.raw.request("GET", self.path(), [
            ("list-type", 2), ("encoding-type", "url"), ("prefix", "a b"), ("delimiter", "é"),
            ("start-after", "a a")]).xml()
        self.assertEqual([urllib.parse.unquote_plus(xml.findtext(name)) for name in
                          ("Prefix", "Delimiter", "StartAfter")], ["a b", "é", "a a"])
        self.assertNotIn(" ", xml.findtext("Prefix"))

    def test_plain_listings_escape_xml_and_never_break(self):
        reply = self.raw.request("GET", self.path(), [("list-type", 2), ("prefix", "a")])
        keys = [node.findtext("Key") for node in reply.xml().findall("Contents")]
        self.assertIn("a&b<c>\"'", keys)

    def test_boto3_reads_all_names_back(self):
        answer = self.s3.list_objects_v2(Bucket=self.bucket)
        self.assertEqual([item["Key"] for item in answer["Contents"]],
                         sorted(self.NAMES, key=str.encode))
        for name in self.NAMES:
            self.assertEqual(self.body(name), b"x")


class Versions(ListCase):
    def test_an_unversioned_bucket_lists_null_versions(self):
        answer = self.s3.list_object_versions(Bucket=self.bucket)
        self.assertEqual([item["Key"] for item in answer["Versions"]], KEYS)
        self.assertEqual({(item["VersionId"], item["IsLatest"]) for item in answer["Versions"]},
                         {("null", True)})
        self.assertNotIn("DeleteMarkers", answer)

    def test_paging_by_key_marker_and_delimiter(self):
        answer = self.s3.list_object_versions(Bucket=self.bucket, MaxKeys=4)
        self.assertTrue(answer["IsTruncated"])
        self.assertEqual(answer["NextKeyMarker"], KEYS[3])
        rest = self.s3.list_object_versions(Bucket=self.bucket, KeyMarker=answer["NextKeyMarker"])
        self.assertEqual([item["Key"] for item in rest["Versions"]], KEYS[4:])
        folded = self.s3.list_object_versions(Bucket=self.bucket, Delimiter="/")
        self.assertEqual([item["Prefix"] for item in folded["CommonPrefixes"]],
                         ["a/", "dir/", "dir2/", "photos/"])

    def test_the_null_version_can_be_named(self):
        self.assertEqual(self.body("b", VersionId="null"), b"b")
        self.assert_client_error(404, "NoSuchVersion", self.get, "b",
                                 VersionId="3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY")


class ManyKeys(S3Case):
    def test_more_than_a_page_of_keys(self):
        names = [f"k{index:05d}" for index in range(1234)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: self.s3.put_object(Bucket=self.bucket, Key=name, Body=b""),
                          names))
        answer = self.s3.list_objects_v2(Bucket=self.bucket)
        self.assertEqual((answer["KeyCount"], answer["IsTruncated"]), (1000, True))
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        self.assertEqual([item["Key"] for page in pages for item in page["Contents"]], names)
