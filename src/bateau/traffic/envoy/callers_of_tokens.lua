
-- A token that Envoy has verified stands for a key of its own, until its claims name the caller. No key has this name.
local of_a_secret = envoy_on_request
function envoy_on_request(handle)
  if handle:streamInfo():dynamicMetadata():get('envoy.filters.http.jwt_authn') == nil then
    return of_a_secret(handle)
  end
  handle:headers():replace('x-bateau-key', '-')
end
