// As tests/clients/describe.py, by aws-sdk-js v3.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { DynamoDBClient, ListTablesCommand } from '@aws-sdk/client-dynamodb'

const client = new DynamoDBClient({ region: process.env.AWS_DEFAULT_REGION })
const { TableNames } = await client.send(new ListTablesCommand({}))
const manifest = createRequire(import.meta.url).resolve('@aws-sdk/client-dynamodb').replace(/dist-cjs.*/, 'package.json')
console.log(JSON.stringify({ version: `aws-sdk-js ${JSON.parse(readFileSync(manifest)).version}`, tables: TableNames }))
