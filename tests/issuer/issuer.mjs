// A real OIDC issuer for tests: client credentials give a JWT for an audience, with the claims that the client wants,
// and people sign in by its development pages, with the claims of their account; any password is right.
// Its settings are one JSON object in the environment: {"port": 1234, "jwks": {"keys": [...]}}. With "dashboard", people
// may sign in at {"redirects": [...], "secret": "...", "inToken": true}; their claims are in the ID token, or else at
// the userinfo endpoint.
import { Provider } from 'oidc-provider'

const { port, jwks, dashboard } = JSON.parse(process.env.ISSUER)
const issuer = `http://127.0.0.1:${port}`
const claims = {
  ada: { email: 'ada@example.org', bateau_models: ['chat*', 'other'] },
  words: { email: 'words@example.org', bateau_models: 'embed chat' },
  bare: {},
}
const people = {
  ada: { name: 'Ada Lovelace', email: 'ada@example.org', email_verified: true, groups: ['staff', 'platform'] },
  bob: { name: 'Bob', email: 'bob@example.org', email_verified: true, groups: ['staff'] },
  eve: { name: 'Eve <script>', email: 'ada@example.org', email_verified: false, groups: ['guests'] },
  nil: { name: 'Nil', email: 'nil@example.org', email_verified: true },
}

const provider = new Provider(issuer, {
  jwks,
  clients: [
    ...Object.keys(claims).map((name) => ({
      client_id: name,
      client_secret: `secret-of-${name}`,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    })),
    ...(dashboard
      ? [
          {
            client_id: 'dashboard',
            client_secret: dashboard.secret,
            redirect_uris: dashboard.redirects,
            application_type: 'native',
            id_token_signed_response_alg: jwks.keys[0].alg,
          },
        ]
      : []),
  ],
  claims: { openid: ['sub', 'groups'], email: ['email', 'email_verified'], profile: ['name'] },
  conformIdTokenClaims: !dashboard?.inToken,
  findAccount: (_, id) => ({ accountId: id, claims: async () => ({ sub: id, ...people[id] }) }),
  extraTokenClaims: (_, token) => claims[token.clientId],
  features: {
    devInteractions: { enabled: Boolean(dashboard) },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, audience) => ({
        scope: '',
        audience,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: jwks.keys[0].alg } },
      }),
    },
  },
})
provider.listen(port, '127.0.0.1', () => console.log('listens'))
