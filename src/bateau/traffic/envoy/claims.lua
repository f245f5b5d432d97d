-- Names the caller of a token that Envoy has verified: by metadata, which no client can send, and for the translator by
-- headers. ISSUERS, before this text, has what to read by the name under which Envoy keeps the claims of an issuer.
local VERIFIED = 'envoy.filters.http.jwt_authn'
local SUBJECT_MAX, OWNER_MAX, MODELS_MAX = 255, 200, 4000
local TRANSLATED = { ['/api/'] = true, ['/v2/'] = true, ['/v2'] = true, ['/v2?'] = true }

-- One text has one form, and no form breaks a header or a line of a log.
local function plain(text)
  return (text:gsub('[^A-Za-z0-9._@:/|+=~-]', function(byte)
    return string.format('%%%02X', byte:byte())
  end))
end

-- A claim of another type gives no right.
local function globs(claim, otherwise)
  if claim == nil then return otherwise end
  local found, length = {}, 0
  local function add(glob)
    if type(glob) ~= 'string' or not glob:match('^[A-Za-z0-9*?._:/@+-]+$') then return end
    length = length + #glob + 1
    if length <= MODELS_MAX then found[#found + 1] = glob end
  end
  if type(claim) == 'string' then
    for glob in claim:gmatch('%S+') do add(glob) end
  elseif type(claim) == 'table' then
    for _, glob in ipairs(claim) do add(glob) end
  end
  -- No model has this name.
  return #found > 0 and table.concat(found, ' ') or '-'
end

local function caller(verified)
  for digest, issuer in pairs(ISSUERS) do
    local claims = verified[digest]
    if type(claims) == 'table' then
      local subject, owner = claims.sub, claims[issuer.owner]
      subject = type(subject) == 'string' and plain(subject) or ''
      if subject == '' or #subject > SUBJECT_MAX then return nil end
      local key = 'jwt:' .. issuer.name .. ':' .. subject
      owner = type(owner) == 'string' and owner ~= '' and plain(owner):sub(1, OWNER_MAX) or key
      return { issuer = issuer.name, key = key, owner = owner, models = globs(claims[issuer.claim], issuer.models) }
    end
  end
end

function envoy_on_request(handle)
  local metadata = handle:streamInfo():dynamicMetadata()
  local verified = metadata:get(VERIFIED)
  if not verified then return end
  local found = caller(verified)
  if not found then
    metadata:set('bateau', 'key', '')
    handle:respond({ [':status'] = '401' }, '')
    return
  end
  for name, value in pairs(found) do metadata:set('bateau', name, value) end
  local headers = handle:headers()
  headers:remove('authorization')
  headers:remove('x-api-key')
  headers:replace('x-bateau-key', found.key)
  local path = headers:get(':path') or ''
  if TRANSLATED[path:sub(1, 5)] or TRANSLATED[path:sub(1, 4)] or TRANSLATED[path] then
    headers:replace('x-bateau-owner', found.owner)
    headers:replace('x-bateau-models', found.models)
  end
end
