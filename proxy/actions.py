"""Every action that a policy can give and a touch can need, in closed lists that both sides read.

Names are IAM's, without `dynamodb:`; where IAM has none for a member that needs one, it is `<operation>.<member>`. An
escalation changes who may do what, or moves data out of a table. It, and whatever else is not done to single items (PartiQL,
descriptions, streams, the account), is given by its exact name only, never by `*` or a group. `deny` knows no such limit:
there `*` is everything.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


READ = _words("GetItem Query ConditionCheckItem")
WRITE = _words("PutItem UpdateItem DeleteItem")
ITEM = READ | WRITE | {"Scan"}
PARTIQL = _words("PartiQLSelect PartiQLInsert PartiQLUpdate PartiQLDelete")
SEARCH = _words("SearchVectors")  # knows neither keys nor projections that IAM could limit
# Nothing else names a secondary index.
WITH_INDEX = _words("Query Scan SearchVectors PartiQLSelect DescribeContributorInsights UpdateContributorInsights")

# What describes the table itself.
DESCRIBE = _words(
    "DescribeTable DescribeTimeToLive DescribeContinuousBackups DescribeContributorInsights DescribeTableReplicaAutoScaling"
)
# A stream, backup, export, import, policy or tag is a resource of its own: who may do all on a table has none of these.
STREAMS = _words("DescribeStream GetShardIterator GetRecords ListStreams")
OTHER_RESOURCES = _words(
    """
    DescribeBackup DescribeBulkOperation DescribeExport DescribeGlobalTable DescribeGlobalTableSettings DescribeImport
    DescribeKinesisStreamingDestination GetResourcePolicy ListTagsOfResource
    """
)
# Not about one table: their touch has an empty table name, and whoever has the exact action has it for the account.
ACCOUNT = _words("DescribeEndpoints DescribeLimits ListBulkOperations ListGlobalTables ListTables")
# About one table if the request names it, else about all of them (then with an empty table name too).
OPTIONAL_TABLE = _words("ListBackups ListContributorInsights ListExports ListImports ListStreams")

ESCALATIONS = _words(
    """
    CancelBulkOperation CreateBackup CreateGlobalTable CreateTable DeleteBackup DeleteResourcePolicy DeleteTable
    DisableKinesisStreamingDestination EnableKinesisStreamingDestination ExportTableToPointInTime ImportTable
    PutResourcePolicy RestoreTableFromBackup RestoreTableToPointInTime StartBulkPutItems TagResource UntagResource
    UpdateContinuousBackups UpdateContributorInsights UpdateGlobalTable UpdateGlobalTableSettings
    UpdateKinesisStreamingDestination UpdateTable UpdateTableReplicaAutoScaling UpdateTimeToLive
    """
)
# Members of an operation that need an action of their own beside it. IAM's names first, then ours.
ESCALATIONS |= _words(
    """
    AssociateTableReplica CreateGlobalTableWitness CreateTableReplica DeleteGlobalTableWitness DeleteTableReplica
    DisassociateTableReplica
    UpdateTable.DeletionProtectionEnabled UpdateTable.DisassociationProtectionEnabled UpdateTable.GlobalSecondaryIndexUpdates
    UpdateTable.GlobalTableSettingsReplicationMode UpdateTable.MultiRegionConsistency UpdateTable.SSESpecification
    UpdateTable.StreamSpecification UpdateTable.VectorIndexUpdates
    """
)

BY_NAME_ONLY = ESCALATIONS | STREAMS | OTHER_RESOURCES | ACCOUNT | OPTIONAL_TABLE | PARTIQL | SEARCH | DESCRIBE
ALL = ITEM | BY_NAME_ONLY
GROUPS: dict[str, frozenset[str]] = {"read": READ, "write": WRITE, "*": ITEM}
