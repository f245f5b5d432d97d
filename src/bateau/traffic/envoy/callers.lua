
-- Names the caller of a request by the hash of its secret, and refuses it without one. KEYS is set above: a line for each
-- key with its hash, when it ends in milliseconds since the epoch, or 0, and its name.
local BY_WORD = {}
for digits, ends, name in KEYS:gmatch('(%x+) (%d+) ([^\n]+)') do
  local key = { ends = tonumber(ends), name = name }
  for i = 0, 7 do key[i] = int32(tonumber(digits:sub(8 * i + 1, 8 * i + 8), 16)) end
  key.another = BY_WORD[key[0]]
  BY_WORD[key[0]] = key
end
KEYS = nil

local function hashed()
  local key = BY_WORD[hash[0]]
  while key do
    local differs = 0
    for i = 1, 7 do differs = bit.bor(differs, bxor(key[i], hash[i])) end
    if differs == 0 then return key end
    key = key.another
  end
end

-- Local replies have their text by this header. The words are those of the native filter.
local function refuse(handle, status, why)
  handle:headers():replace('x-bateau-refused', why)
  handle:respond({ [':status'] = status }, '')
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local authorization = headers:get('authorization')
  local secret
  if authorization then
    secret = authorization:match('^[Bb][Ee][Aa][Rr][Ee][Rr] +([^ ]+) *$')
    headers:remove('authorization')
  end
  secret = secret or headers:get('x-api-key')
  headers:remove('x-api-key')
  if not secret or #secret > LENGTH_MAX then return refuse(handle, '401', 'missing_api_key') end
  sha256(secret)
  local key = hashed()
  if not key then return refuse(handle, '401', 'unknown_api_key') end
  headers:replace('x-bateau-key', key.name)
  if key.ends > 0 and handle:timestamp() >= key.ends then
    refuse(handle, '403', 'rbac_access_denied_matched_policy[expired]')
  end
end
