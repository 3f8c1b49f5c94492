"""What others published, captured or found out; never edit one to make a test pass."""

from datetime import UTC, datetime

# The example of Vipps's documentation of 2023, which is right.
DOCS_SECRET = (
    "A0+AeKBRG2KRGvnNwJpQlb6IJFk48CKXCIcrLoHncVJKDILsQSxS6NWCccwWm6r6FhGKhiHTBsG2wo/xU6FY/A=="
)
DOCS_URL = "https://webhook.site/e2cee29b-012e-4f1d-8ef4-e95fd74a7a63"
DOCS_AT = datetime(2023, 3, 30, 8, 38, 32, tzinfo=UTC)
DOCS_DATE = "Thu, 30 Mar 2023 08:38:32 GMT"
DOCS_BODY = b'{"some-unique-content":"ee6e441b-cc4a-46f8-895d-a5af79bcc233/hello-world"}'
DOCS_HASH = "lNlsp1XA03N34HrQsVzPgJKtC+r7l/RBF4V3JQUWMj4="
DOCS_SIGNATURE = "agAiSyogQbDHpeucoNwYz+yAr5nJ+v+zasdkSbqzv+U="

# The same example today: the secret was blanked, the signature was not. This is the right one.
BLANKED_SECRET = "A" * 86 + "=="
BLANKED_SIGNATURE = "u4zz3dyO3c3xJwl36rPpn1n7WF75u6r2epjH70MZTGM="

# Two bodies that Vipps's test system really sent, with the hashes it sent beside them.
# Sources: a public note on a Paymenter gateway (31 May 2025); waltherB/mobilepay_vipps,
# test_webhook_fix.py (3 November 2025).
CAPTURED_BODIES = (
    (
        b'{"msn":"373370","reference":"inv-8-attempt-2",'
        b'"pspReference":"740e7483-c083-4b95-9246-a37299ad53b7","name":"CREATED",'
        b'"amount":{"currency":"NOK","value":12100},"timestamp":"2025-05-31T17:29:23.358Z",'
        b'"idempotencyKey":"683b3c72858e20.24358952","success":true}',
        256,
        "kQSmDK2O2OZoefs7WJBmm2OR4kuoPtDMNGGmh0QVvtA=",
    ),
    (
        b'{"msn":"2060591","reference":"S00007-30-20251103142209",'
        b'"pspReference":"49360986-4857-4556-bddb-ba6b58f25bb1","name":"CREATED",'
        b'"amount":{"currency":"DKK","value":125},"timestamp":"2025-11-03T14:22:10.431Z",'
        b'"idempotencyKey":"b043ab36-977b-409c-a4e5-a22b97197448","success":true}',
        277,
        "ZFGsWWeA+zvY683itju+78UFI/shGNUaSUsK4bxTW7A=",
    ),
)

# The vector of every Standard Webhooks library, and Svix's for ed25519, whose signature is also
# the example in the specification.
STANDARD_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
STANDARD_AT = datetime.fromtimestamp(1614265330, UTC)
STANDARD_BODY = b'{"test": 2432232314}'
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_V1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
STANDARD_PRIVATE = (
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
)
STANDARD_PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
STANDARD_V1A = (
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
)

# The addresses that `ipaddress.is_global` lets through, and their relatives.
HIDDEN_ADDRESSES = [
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::1",
    "2001:0:7f00:1::",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:0:7f00:1",
    "::5efe:7f00:1",
    "2a00:1450::5efe:7f00:1",
    "2a00:1450::200:5efe:a9fe:a9fe",
    "2a00:1450::5efe:8.8.8.8",
    "fec0::1",
    "3fff::1",
    "5f00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::",
    "::1",
    "ff02::1",
    "fe80::1%eth0",
    "2a00:1450::1%eth0",
    "224.0.0.1",
    "192.88.99.1",
    "168.63.129.16",
    "169.254.169.254",
    "100.100.100.200",
    "192.0.0.192",
    "255.255.255.255",
    "0.0.0.0",  # noqa: S104
]
