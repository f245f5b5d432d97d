-- Copies the usage that an answer says into dynamic metadata, from which the ledger is written. A stream is not held.
-- It searches the text, and does not parse it: within a JSON string each quote has a backslash before it, so
-- `"usage":` never is a part of what a model or a user has written.

local NAMESPACE = 'bateau'
-- An object that is longer than this is not usage. Of each piece of an answer no more than this is kept.
local LENGTH_MAX = 8192

local OBJECTS = {
  {
    name = '"usage"',
    fields = {
      'prompt_tokens', 'completion_tokens', 'input_tokens', 'output_tokens', 'cached_tokens', 'cache_read_input_tokens',
    },
  },
  { name = '"timings"', fields = { 'prompt_n', 'cache_n', 'predicted_n' } },
}

-- Returns the end of the object that begins at a position, nil if it is not complete.
local function object_end(text, from)
  local depth = 0
  for at in text:sub(from, from + LENGTH_MAX):gmatch('()[{}]') do
    local place = from + at - 1
    depth = depth + (text:byte(place) == 123 and 1 or -1)
    if depth == 0 then return place end
  end
  return nil
end

-- Takes all complete objects of one name, and returns where an incomplete one begins, nil if there is none.
local function take(text, object, handle)
  local from = 1
  while true do
    local begin, name_end = text:find(object.name, from, true)
    if not begin then return nil end
    local brace = text:match('^%s*:%s*(){', name_end + 1)
    if brace then
      local stop = object_end(text, brace)
      if not stop then return begin end
      local inside = text:sub(brace, stop)
      for _, field in ipairs(object.fields) do
        local value = inside:match('"' .. field .. '"%s*:%s*(%d+)')
        if value and #value < 16 then
          handle:streamInfo():dynamicMetadata():set(NAMESPACE, field, tonumber(value))
        end
      end
      from = stop + 1
    elseif text:match('^%s*:?%s*$', name_end + 1) then
      return begin
    else
      from = name_end + 1
    end
  end
end

function envoy_on_response(handle)
  local kind = handle:headers():get('content-type') or ''
  if not (kind:find('json', 1, true) or kind:find('event-stream', 1, true)) then return end
  local kept = ''
  for chunk in handle:bodyChunks() do
    local length = chunk:length()
    if length > 0 then
      local text = kept .. chunk:getBytes(0, length)
      local first = #text - 8 -- a name may be cut
      for _, object in ipairs(OBJECTS) do
        local begin = take(text, object, handle)
        if begin and begin < first then first = begin end
      end
      if #text - first > LENGTH_MAX then first = #text - 8 end
      kept = text:sub(math.max(first, 1))
    end
  end
end
