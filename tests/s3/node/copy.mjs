// @aws-sdk/client-s3 with default settings: copy.mjs ENDPOINT VERB BUCKET [KEY [FILE]]; keys and
// region from the environment.
import { createReadStream, createWriteStream, statSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import {
  S3Client, CreateBucketCommand, DeleteBucketCommand, DeleteObjectsCommand, GetObjectCommand,
  PutObjectCommand, CreateMultipartUploadCommand, UploadPartCommand,
  CompleteMultipartUploadCommand, paginateListObjectsV2,
} from '@aws-sdk/client-s3';

const [endpoint, verb, Bucket, ...rest] = process.argv.slice(2);
const [Key, file] = rest;
const s3 = new S3Client({ endpoint });
const partSize = 8 << 20;

async function putInParts(size) {
  const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key }));
  const Parts = [];
  for (let start = 0; start < size; start += partSize) {
    const end = Math.min(start + partSize, size) - 1;
    const PartNumber = Parts.length + 1;
    const Body = createReadStream(file, { start, end });
    const answer = await s3.send(new UploadPartCommand({
      Bucket, Key, UploadId, PartNumber, Body, ContentLength: end - start + 1,
    }));
    const { ETag, ChecksumCRC32 } = answer;
    Parts.push({ PartNumber, ETag, ChecksumCRC32 });
  }
  await s3.send(new CompleteMultipartUploadCommand({
    Bucket, Key, UploadId, MultipartUpload: { Parts },
  }));
}

const verbs = {
  make: () => s3.send(new CreateBucketCommand({ Bucket })),
  unmake: () => s3.send(new DeleteBucketCommand({ Bucket })),
  put: async () => {
    const { size } = statSync(file);
    if (size > 4 * partSize) {
      await putInParts(size);
    } else {
      const Body = createReadStream(file);
      await s3.send(new PutObjectCommand({ Bucket, Key, Body, ContentLength: size }));
    }
  },
  get: async () => {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }));
    await pipeline(Body, createWriteStream(file));
  },
  list: async () => {
    for await (const page of paginateListObjectsV2({ client: s3 }, { Bucket })) {
      for (const item of page.Contents ?? []) console.log(item.Key);
    }
  },
  delete: () => s3.send(new DeleteObjectsCommand({
    Bucket, Delete: { Objects: rest.map((key) => ({ Key: key })) },
  })),
};
await verbs[verb]();
