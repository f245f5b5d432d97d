-- Refuses a model that the claims of a token do not allow. NO_MODEL, before this text, has the values of the header of a
-- request that names no model.

-- The byte after the character that begins at one.
local function after(name, at)
  at = at + 1
  while at <= #name and bit.band(name:byte(at), 0xc0) == 0x80 do at = at + 1 end
  return at
end

-- The time is at most the product of both lengths.
local function matches(glob, name)
  local g, n, star, from = 1, 1, nil, nil
  while n <= #name do
    local each = glob:sub(g, g)
    if each == '*' then
      star, from = g + 1, n
      g = g + 1
    elseif each == '?' then
      g, n = g + 1, after(name, n)
    elseif each ~= '' and each == name:sub(n, n) then
      g, n = g + 1, n + 1
    elseif star then
      from = after(name, from)
      g, n = star, from
    else
      return false
    end
  end
  return glob:find('^%**$', g) ~= nil
end

function envoy_on_request(handle)
  local about = handle:streamInfo():dynamicMetadata():get('bateau')
  local models = about and about.models
  if not models then return end
  local name = handle:headers():get('x-bateau-model')
  if not name or NO_MODEL[name] then return end
  for glob in models:gmatch('%S+') do
    if matches(glob, name) then return end
  end
  handle:respond({ [':status'] = '403' }, '')
end
