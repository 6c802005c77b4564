"""boto3 with default settings: boto_copy.py ENDPOINT VERB BUCKET [KEY [FILE]]; keys from the
environment. Runs under any Python that has a boto3, so it knows nothing of the harness."""
import sys
import warnings

import boto3

warnings.simplefilter("ignore")
ENDPOINT, VERB, BUCKET, *REST = sys.argv[1:]
S3 = boto3.client("s3", endpoint_url=ENDPOINT)

if VERB == "make":
    S3.create_bucket(Bucket=BUCKET)
elif VERB == "put":  # the transfer manager: multipart from 8 MiB on
    S3.upload_file(REST[1], BUCKET, REST[0])
elif VERB == "get":
    S3.download_file(BUCKET, REST[0], REST[1])
elif VERB == "list":
    for page in S3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for item in page.get("Contents", []):
            print(item["Key"])
elif VERB == "delete":
    S3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in REST]})
elif VERB == "unmake":
    S3.delete_bucket(Bucket=BUCKET)
else:
    sys.exit(f"unknown verb {VERB}")
