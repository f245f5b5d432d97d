
-- A token that Envoy has verified stands for a key of its own. No secret has this hash.
local of_a_secret = envoy_on_request
function envoy_on_request(handle)
  if handle:streamInfo():dynamicMetadata():get('envoy.filters.http.jwt_authn') == nil then
    return of_a_secret(handle)
  end
  handle:headers():replace('x-bateau-key-sha256', 'jwt')
end
