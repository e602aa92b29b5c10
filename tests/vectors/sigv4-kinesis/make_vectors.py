"""Makes vectors.json with botocore's signer, which shares no code with weir's.

python3 make_vectors.py > vectors.json      (botocore 1.44.5)
"""

import datetime
import json

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

CASES = [
    ("PutRecords", "eu-west-1", "kinesis.eu-west-1.amazonaws.com", None,
     '{"Records":[{"Data":"e30K","PartitionKey":"a"}],"StreamName":"s"}', 1661952000),
    ("ListShards", "us-east-1", "127.0.0.1:4567", None, '{"StreamName":"s"}', 951782399),
    ("PutRecords", "cn-north-1", "kinesis.cn-north-1.amazonaws.com.cn",
     "FwoGZXIvYXdzEJr//////////wEaDO+/=/token==", "{}", 1709164800),
    ("DescribeStreamSummary", "us-gov-west-1", "kinesis.us-gov-west-1.amazonaws.com",
     "short", "", 4102444799),
]
ACCESS_KEY = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def sign(operation, region, host, token, body, seconds):
    when = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)

    # botocore asks its own clock in more than one way, depending on the version.
    botocore.auth.get_current_datetime = lambda *a, **k: when.replace(tzinfo=None)
    scheme = "http" if ":" in host else "https"
    request = AWSRequest(method="POST", url=f"{scheme}://{host}/", data=body, headers={
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"Kinesis_20131202.{operation}",
    })
    signer = botocore.auth.SigV4Auth(Credentials(ACCESS_KEY, SECRET, token), "kinesis", region)
    signer.add_auth(request)
    assert request.headers["X-Amz-Date"] == when.strftime("%Y%m%dT%H%M%SZ")
    return {
        "operation": operation, "region": region, "host": host, "token": token, "body": body,
        "seconds": seconds, "time": request.headers["X-Amz-Date"],
        "access_key_id": ACCESS_KEY, "secret_access_key": SECRET,
        "authorization": request.headers["Authorization"],
    }


if __name__ == "__main__":
    print(json.dumps([sign(*case) for case in CASES], indent=1))
