// The OpenID-certified provider as a test identity provider: client credentials grant, JWT access tokens, claims by client.
// Environment: AUDIENCE, TOKEN_SECONDS, CLIENTS (JSON: [{id, secret, claims, jwks}]); who has a key set proves itself by private_key_jwt
// and has no secret. Prints `listening ISSUER` once it serves.
// POST /_test/rotate: a new key signs, the old ones stay in the key set. POST /_test/retire: only the newest key stays.
import http from 'node:http'
import { exportJWK, generateKeyPair } from 'jose'
import { Provider } from 'oidc-provider'

const audience = process.env.AUDIENCE
const seconds = Number(process.env.TOKEN_SECONDS)
const clients = JSON.parse(process.env.CLIENTS)
const claims = new Map(clients.map(client => [client.id, client.claims]))
let made = 0

async function newKey (alg = 'RS256') {
  const { privateKey } = await generateKeyPair(alg, { extractable: true })
  return { ...(await exportJWK(privateKey)), kid: `k${++made}`, alg, use: 'sig' }
}

// The provider reads its key set once, so each rotation builds another behind the same listener.
function provide (issuer, keys) {
  const provider = new Provider(issuer, {
    clients: clients.map(({ id, secret, jwks }) => ({
      client_id: id, grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
      ...(jwks ? { token_endpoint_auth_method: 'private_key_jwt', jwks } : { client_secret: secret }),
    })),
    jwks: { keys },
    ttl: { ClientCredentials: seconds },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => `urn:${audience}`,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          audience, scope: 'dynamodb', accessTokenTTL: seconds, accessTokenFormat: 'jwt', jwt: { sign: { alg: keys[0].alg } },
        }),
      },
    },
    extraTokenClaims: (_context, token) => claims.get(token.clientId),
  })
  return provider.callback()
}

let keys = [await newKey()]
let answer
const server = http.createServer(async (request, response) => {
  const turn = { 'POST /_test/rotate': async () => [await newKey(), ...keys], 'POST /_test/retire': async () => keys.slice(0, 1) }[`${request.method} ${request.url}`]
  if (!turn) return answer(request, response)
  keys = await turn()
  answer = provide(issuer(), keys)
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ kid: keys[0].kid }))
})
const issuer = () => `http://127.0.0.1:${server.address().port}`
server.listen(0, '127.0.0.1', () => {
  answer = provide(issuer(), keys)
  console.log('listening', issuer())
})
