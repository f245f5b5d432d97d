// A real OIDC issuer for tests: client credentials give a JWT for an audience, with the claims that the client wants.
// Its settings are one JSON object in the environment: {"port": 1234, "jwks": {"keys": [...]}}.
import { Provider } from 'oidc-provider'

const { port, jwks } = JSON.parse(process.env.ISSUER)
const issuer = `http://127.0.0.1:${port}`
const claims = {
  ada: { email: 'ada@example.org', bateau_models: ['chat*', 'other'] },
  words: { email: 'words@example.org', bateau_models: 'embed chat' },
  bare: {},
}

const provider = new Provider(issuer, {
  jwks,
  clients: Object.keys(claims).map((name) => ({
    client_id: name,
    client_secret: `secret-of-${name}`,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  })),
  extraTokenClaims: (_, token) => claims[token.clientId],
  features: {
    devInteractions: { enabled: false },
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
