-- Answers with the models that a key may use, and no others. KEYS is set above: for each key a line with its name and the
-- globs of its models. The metadata of the route has the model that it is about, or all models and the text around them.

-- Whether a glob matches a whole name: `*` is any text and `?` any character.
local function matches(glob, name)
  local at, place, star, resumed = 1, 1, nil, nil
  while place <= #name do
    local byte = glob:byte(at)
    if byte == 42 then
      star, resumed, at = at, place, at + 1
    elseif byte == 63 or byte == name:byte(place) then
      at, place = at + 1, place + 1
    elseif star then
      resumed = resumed + 1
      at, place = star + 1, resumed
    else
      return false
    end
  end
  while glob:byte(at) == 42 do at = at + 1 end
  return at > #glob
end

local function globs_of(key)
  local _, stop = KEYS:find('\n' .. key .. ' ', 1, true)
  return stop and KEYS:match('[^\n]*', stop + 1) or ''
end

local function may_use(globs, name)
  for glob in globs:gmatch('[^ ]+') do
    if matches(glob, name) then return true end
  end
  return false
end

local function answer(handle, status, body)
  handle:respond({ [':status'] = status, ['content-type'] = 'application/json' }, body)
end

function envoy_on_request(handle)
  local key = handle:headers():get('x-bateau-key')
  local globs = key and globs_of(key) or ''
  if globs == '*' then return end
  local route = handle:metadata()
  local name = route:get('name')
  if name then
    if not may_use(globs, name) then answer(handle, '404', route:get('none')) end
    return
  end
  local items, found = route:get('items') or {}, {}
  for number, each in ipairs(route:get('names') or {}) do
    if may_use(globs, each) then found[#found + 1] = items[number] end
  end
  local some = #found > 0 and route:get('before') .. table.concat(found, ', ') .. route:get('after')
  answer(handle, route:get('status'), some or route:get('none'))
end
