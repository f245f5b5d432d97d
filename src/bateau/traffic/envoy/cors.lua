-- Answers browsers that ask for a web page of another origin, and lets pages of ORIGINS read all answers.
-- ORIGINS, HEADERS, READABLE and MAX_AGE are set above.

local function allowed(headers)
  local origin = headers:get('origin')
  return origin and ORIGINS[origin] and origin
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local origin = allowed(headers)
  if not origin then return end
  if headers:get(':method') == 'OPTIONS' and headers:get('access-control-request-method') then
    handle:respond({
      [':status'] = '204',
      ['access-control-allow-origin'] = origin,
      ['access-control-allow-methods'] = 'GET, POST',
      ['access-control-allow-headers'] = HEADERS,
      ['access-control-max-age'] = MAX_AGE,
      ['vary'] = 'origin',
    })
    return
  end
  handle:streamInfo():dynamicMetadata():set('bateau', 'origin', origin)
end

function envoy_on_response(handle)
  local known = handle:streamInfo():dynamicMetadata():get('bateau')
  local origin = known and known['origin']
  if not origin then return end
  local headers = handle:headers()
  headers:replace('access-control-allow-origin', origin)
  headers:replace('access-control-expose-headers', READABLE)
  headers:add('vary', 'origin')
end
