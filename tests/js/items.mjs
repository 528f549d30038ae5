// Put, get, query and a denial by aws-sdk-js v3. Environment: AWS_*, TABLE, FORBIDDEN.
// Prints {item, found, denied: {name, message, attempts, requestId, status}}.
import { DynamoDBClient, GetItemCommand, PutItemCommand, QueryCommand } from '@aws-sdk/client-dynamodb'

const { AWS_DEFAULT_REGION: region, TABLE: TableName, FORBIDDEN } = process.env
const client = new DynamoDBClient({
  region,
  endpoint: process.env.AWS_ENDPOINT_URL_DYNAMODB,
  credentials: { accessKeyId: 'worker', secretAccessKey: 'unused', sessionToken: process.env.AWS_SESSION_TOKEN },
})
const key = n => ({ pk: { S: 'js-🛒' }, sk: { S: `${n}` } })

for (const n of [1, 2, 3]) {
  await client.send(new PutItemCommand({ TableName, Item: { ...key(n), blob: { B: new Uint8Array([0, 255]) }, set: { NS: [`${n}`] } } }))
}
const { Item } = await client.send(new GetItemCommand({ TableName, Key: key(2), ConsistentRead: true }))
const { Items } = await client.send(new QueryCommand({
  TableName, KeyConditionExpression: 'pk = :p', ExpressionAttributeValues: { ':p': key(0).pk }, ScanIndexForward: false,
}))
const denied = await client.send(new GetItemCommand({ TableName: FORBIDDEN, Key: { pk: { S: '1' } } })).then(
  () => null,
  ({ name, message, $metadata: { attempts, requestId, httpStatusCode } }) => ({ name, message, attempts, requestId, status: httpStatusCode }),
)
console.log(JSON.stringify({ item: { ...Item, blob: [...Item.blob.B] }, found: Items.map(item => item.sk.S), denied }))
client.destroy()
