"""The structures that several operations of tables and streams share, member by member as in DynamoDB's service model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.dynamodb.names import ACCOUNT, BUCKET, INDEX, KMS_KEY, OWN_TABLE, REGION, ROLE_ARN
from proxy.dynamodb.shapes import Attributes, Choice, Flag, ListOf, MapOf, Number, Structure, Text, Whole

if TYPE_CHECKING:
    from proxy.dynamodb.shapes import Shape

MOST = 2**63 - 1  # a long of the service model
LEAST = -(2**31)  # an integer of it
TEXT = Text()
FLAG = Flag()
UNITS = Whole(1, MOST)
LONG = Whole(-(2**63), MOST)
NUMBER = Number(-1e308, 1e308)
INSTANT = Number(0, 1e11)  # seconds since the epoch, with fractions


def of(required: str = "", /, **members: Shape) -> Structure:
    """A structure; `required` names the members that it must have."""
    return Structure(members, tuple(required.split()))


def one_of(**members: Shape) -> Structure:
    """A structure that has exactly one of its members."""
    return Structure(members, one_only=True)


PLACE = of("RegionName", RegionName=REGION)
NAMED_INDEX = of("IndexName", IndexName=INDEX)
ATTRIBUTE_NAME = Text(1, 255)
SCALAR_ATTRIBUTE_TYPE = Choice(("S", "N", "B"))
ATTRIBUTE_DEFINITION = of("AttributeName AttributeType", AttributeName=ATTRIBUTE_NAME, AttributeType=SCALAR_ATTRIBUTE_TYPE)
KEY_TYPE = Choice(("HASH", "RANGE"))
KEY_SCHEMA_ELEMENT = of("AttributeName KeyType", AttributeName=ATTRIBUTE_NAME, KeyType=KEY_TYPE)
PROJECTION_TYPE = Choice(("ALL", "KEYS_ONLY", "INCLUDE"))
PROJECTION = of(ProjectionType=PROJECTION_TYPE, NonKeyAttributes=ListOf(ATTRIBUTE_NAME, 1, 20))
LOCAL_INDEX = of(
    "IndexName KeySchema Projection", IndexName=INDEX, KeySchema=ListOf(KEY_SCHEMA_ELEMENT, 1), Projection=PROJECTION
)
PROVISIONED = of("ReadCapacityUnits WriteCapacityUnits", ReadCapacityUnits=UNITS, WriteCapacityUnits=UNITS)
ON_DEMAND = of(MaxReadRequestUnits=LONG, MaxWriteRequestUnits=LONG)
WARM = of(ReadUnitsPerSecond=LONG, WriteUnitsPerSecond=LONG)
GLOBAL_INDEX = of(
    "IndexName KeySchema Projection",
    IndexName=INDEX,
    KeySchema=ListOf(KEY_SCHEMA_ELEMENT, 1),
    Projection=PROJECTION,
    ProvisionedThroughput=PROVISIONED,
    OnDemandThroughput=ON_DEMAND,
    WarmThroughput=WARM,
)
BILLING_MODE = Choice(("PROVISIONED", "PAY_PER_REQUEST"))
STREAM_VIEW_TYPE = Choice(("NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY"))
STREAM_SPECIFICATION = of("StreamEnabled", StreamEnabled=FLAG, StreamViewType=STREAM_VIEW_TYPE)
SSE_TYPE = Choice(("AES256", "KMS"))
SSE_SPECIFICATION = of(Enabled=FLAG, SSEType=SSE_TYPE, KMSMasterKeyId=KMS_KEY)
TAG_KEY = Text(1, 128)
TAG_VALUE = Text(0, 256)
TAG = of("Key Value", Key=TAG_KEY, Value=TAG_VALUE)
TABLE_CLASS = Choice(("STANDARD", "STANDARD_INFREQUENT_ACCESS"))
REPLICATION_MODE = Choice(("ENABLED", "DISABLED", "ENABLED_WITH_OVERRIDES"))
VECTOR_ATTRIBUTE = of("AttributeName", AttributeName=ATTRIBUTE_NAME)
SEARCH_ROLE = Choice(("HASH", "INLINE_FILTER"))
SEARCH_SCHEMA_ELEMENT = of("AttributeName SearchSchemaElementType", AttributeName=TEXT, SearchSchemaElementType=SEARCH_ROLE)
SEARCH_SCHEMA = ListOf(SEARCH_SCHEMA_ELEMENT, 1)
DISTANCE = Choice(("COSINE", "DOT_PRODUCT", "EUCLIDEAN"))
VECTOR_INDEX = of(
    "IndexName VectorAttribute Projection Dimensions DistanceFunction",
    IndexName=INDEX,
    VectorAttribute=VECTOR_ATTRIBUTE,
    SearchSchema=SEARCH_SCHEMA,
    Projection=PROJECTION,
    Dimensions=UNITS,
    DistanceFunction=DISTANCE,
)
REVISION = Text(1, 255)
PRECISION = Choice(("MILLISECOND", "MICROSECOND"))
KINESIS_CONFIGURATION = of(ApproximateCreationDateTimePrecision=PRECISION)
S3_PREFIX = Text(0, 1024)
S3_SSE_ALGORITHM = Choice(("AES256", "KMS"))
FILTER_SPECIFICATION = of(
    FilterExpression=TEXT,
    ProjectionExpression=TEXT,
    KeyConditionExpression=TEXT,
    ExpressionAttributeNames=MapOf(TEXT),
    ExpressionAttributeValues=Attributes(),
)
INPUT_COMPRESSION_TYPE = Choice(("GZIP", "ZSTD", "NONE"))
TABLE_CREATION = of(
    "TableName AttributeDefinitions KeySchema",
    TableName=OWN_TABLE,
    AttributeDefinitions=ListOf(ATTRIBUTE_DEFINITION),
    KeySchema=ListOf(KEY_SCHEMA_ELEMENT, 1),
    BillingMode=BILLING_MODE,
    ProvisionedThroughput=PROVISIONED,
    OnDemandThroughput=ON_DEMAND,
    SSESpecification=SSE_SPECIFICATION,
    GlobalSecondaryIndexes=ListOf(GLOBAL_INDEX),
    VectorIndexes=ListOf(VECTOR_INDEX),
)
INPUT_S3_CONFIGURATION = of(
    "S3Bucket InputFormat",
    S3BucketOwner=ACCOUNT,
    S3Bucket=BUCKET,
    S3KeyPrefix=S3_PREFIX,
    InputFormat=Choice(("DYNAMODB_JSON", "ION")),
    InputCompressionType=INPUT_COMPRESSION_TYPE,
)
OUTPUT_S3_CONFIGURATION = of(
    "OutputType",
    S3BucketOwner=ACCOUNT,
    S3Bucket=BUCKET,
    S3KeyPrefix=S3_PREFIX,
    S3SseAlgorithm=S3_SSE_ALGORITHM,
    S3SseKmsKeyId=KMS_KEY,
    OutputType=ListOf(Choice(("ERROR", "CONDITION_CHECK_FAILURE"))),
)
POLICY_NAME = Text(1, 256)
TARGET_TRACKING = of(
    "TargetValue", DisableScaleIn=FLAG, ScaleInCooldown=Whole(LEAST), ScaleOutCooldown=Whole(LEAST), TargetValue=NUMBER
)
SCALING_POLICY = of(
    "TargetTrackingScalingPolicyConfiguration", PolicyName=POLICY_NAME, TargetTrackingScalingPolicyConfiguration=TARGET_TRACKING
)
AUTO_SCALING = of(
    MinimumUnits=UNITS,
    MaximumUnits=UNITS,
    AutoScalingDisabled=FLAG,
    AutoScalingRoleArn=ROLE_ARN,
    ScalingPolicyUpdate=SCALING_POLICY,
)
GLOBAL_INDEX_SETTINGS = of(
    "IndexName",
    IndexName=INDEX,
    ProvisionedWriteCapacityUnits=UNITS,
    ProvisionedWriteCapacityAutoScalingSettingsUpdate=AUTO_SCALING,
)
REPLICA_INDEX_SETTINGS = of(
    "IndexName",
    IndexName=INDEX,
    ProvisionedReadCapacityUnits=UNITS,
    ProvisionedReadCapacityAutoScalingSettingsUpdate=AUTO_SCALING,
)
REPLICA_SETTINGS = of(
    "RegionName",
    RegionName=REGION,
    ReplicaProvisionedReadCapacityUnits=UNITS,
    ReplicaProvisionedReadCapacityAutoScalingSettingsUpdate=AUTO_SCALING,
    ReplicaGlobalSecondaryIndexSettingsUpdate=ListOf(REPLICA_INDEX_SETTINGS, 1, 20),
    ReplicaTableClass=TABLE_CLASS,
)
GLOBAL_INDEX_UPDATE = one_of(
    Update=of("IndexName", IndexName=INDEX, ProvisionedThroughput=PROVISIONED, OnDemandThroughput=ON_DEMAND, WarmThroughput=WARM),
    Create=GLOBAL_INDEX,
    Delete=NAMED_INDEX,
)
READ_PROVISIONED = of(ReadCapacityUnits=UNITS)
READ_ON_DEMAND = of(MaxReadRequestUnits=LONG)
REPLICA_INDEXES = ListOf(
    of("IndexName", IndexName=INDEX, ProvisionedThroughputOverride=READ_PROVISIONED, OnDemandThroughputOverride=READ_ON_DEMAND), 1
)
REPLICA = of(
    "RegionName",
    RegionName=REGION,
    KMSMasterKeyId=KMS_KEY,
    ProvisionedThroughputOverride=READ_PROVISIONED,
    OnDemandThroughputOverride=READ_ON_DEMAND,
    GlobalSecondaryIndexes=REPLICA_INDEXES,
    TableClassOverride=TABLE_CLASS,
)
REPLICATION_GROUP_UPDATE = one_of(
    Create=REPLICA,
    Update=REPLICA,
    Delete=PLACE,
    Disassociate=of("RegionName DisassociationMode", RegionName=REGION, DisassociationMode=Choice(("WAIT_FOR_REPLICATION",))),
)
REPLICA_AUTO_SCALING_UPDATE = of(
    "RegionName",
    RegionName=REGION,
    ReplicaGlobalSecondaryIndexUpdates=ListOf(of(IndexName=INDEX, ProvisionedReadCapacityAutoScalingUpdate=AUTO_SCALING)),
    ReplicaProvisionedReadCapacityAutoScalingUpdate=AUTO_SCALING,
)
SHARD_ID = Text(28, 65)
