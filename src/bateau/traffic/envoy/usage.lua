-- Copies the usage that an answer says into dynamic metadata, from which the ledger is written: its tokens, why it ended,
-- and how many events a stream had so far, for clients that leave before its end. A stream is not held.
-- Only the places where an API says it count: an answer may repeat objects that a client has sent.

local NAMESPACE = 'bateau'
-- A name and its number are kept until they are complete; longer ones are not usage.
local LENGTH_MAX = 256

local USAGE = {
  prompt_tokens = true, completion_tokens = true, input_tokens = true, output_tokens = true,
  cache_read_input_tokens = true,
}
local TIMINGS = { prompt_n = true, cache_n = true, predicted_n = true, prompt_ms = true, predicted_ms = true }
local AROUND = { message = true, response = true }

local function set(handle, name, value)
  handle:streamInfo():dynamicMetadata():set(NAMESPACE, name, value)
end

-- Writes all that was found so far as one text, such as `prompt_tokens=3 stop_reason=stop`: Envoy needs as long for one
-- value of the ledger as for ten of its other fields.
local function set_counts(handle, state)
  local parts = {}
  for name, text in pairs(state.said) do parts[#parts + 1] = name .. '=' .. text end
  table.sort(parts)
  set(handle, 'counts', table.concat(parts, ' '))
  state.changed = false
end

-- Whether the name at `depth` is a count; `names` has the names of the objects around it.
local function counts(names, depth)
  local first = AROUND[names[1]] and 2 or 1
  local own, inside = names[depth], depth - first
  if inside == 1 then
    return names[first] == 'usage' and USAGE[own] or first == 1 and names[1] == 'timings' and TIMINGS[own]
  end
  return inside == 2 and names[first] == 'usage' and own == 'cached_tokens' and names[first + 1]:find('_details$')
end

-- Whether the name at `depth` is the reason why an answer ended: OpenAI's, or Anthropic's.
local function ends(names, depth)
  local own = names[depth]
  if own == 'finish_reason' then return depth == 3 and names[1] == 'choices' and names[2] == '[' end
  return own == 'stop_reason' and (depth == 1 or depth == 2 and (names[1] == 'delta' or names[1] == 'message'))
end

-- Reads a text that continues what was read before, and returns its end that is not complete.
local function read(text, state)
  local at = 1
  while true do
    if state.inside then
      local place = text:find(state.stream and '["\\\n]' or '["\\]', at)
      if not place then return '' end
      local byte = text:byte(place)
      if byte == 92 and place == #text then return '\\' end
      state.inside = byte == 92
      at = place + (byte == 92 and 2 or byte == 34 and 1 or 0)
    else
      local place = text:find('["{}%[%]\n]', at)
      if not place then return '' end
      local byte = text:byte(place)
      at = place + 1
      if byte == 10 then
        -- Each event of a stream is a JSON text of its own, on one line.
        if state.stream then state.depth = 0 end
      elseif byte == 123 then
        if state.depth == 0 then state.events = state.events + 1 end
        state.depth = state.depth + 1
      elseif byte == 91 then
        state.depth = state.depth + 1
        state.names[state.depth] = '['
      elseif byte ~= 34 then
        state.depth = math.max(state.depth - 1, 0)
      elseif state.depth < 1 or state.depth > 4 then
        state.inside = true
      else
        local stop = text:match('^[%w_]*()"', at)
        local after = stop and text:match('^%s*:%s*()', stop + 1)
        local digits, ended = text:match('^(%d+%.?%d*)()', after or #text + 1)
        local complete = stop and text:find('^%s*[^%s:]', stop + 1) or after and text:find('^%S', after)
        if not complete or (digits and ended > #text) or (after and text:find('^"[%w_]*$', after)) then
          local rest = text:sub(place)
          if #rest < LENGTH_MAX and not rest:find('^"[%w_]*[^%w_"]') then return rest end
        end
        if not stop then
          -- Perhaps a name, and then not one of these: what it is the name of must not pass for the one before.
          state.names[state.depth] = ''
          state.inside = true
        else
          at = stop + 1
          if after then
            state.names[state.depth] = text:sub(place + 1, stop - 1)
            at = after
            local name = state.names[state.depth]
            -- Times have fractions, counts have none.
            local fits = digits and (#digits < 16 and not digits:find('.', 1, true) or #digits < 32 and name:find('_ms$'))
            if fits and text:find('^[,}%s]', ended) and counts(state.names, state.depth) then
              state.said[name], state.changed = digits, true
            elseif not digits and ends(state.names, state.depth) then
              local reason = text:match('^"([%w_]+)"', after)
              if reason then state.said.stop_reason, state.changed = reason, true end
            end
          end
        end
      end
    end
  end
end

local function first(said, ...)
  for _, name in ipairs({...}) do
    if said[name] then return tonumber(said[name]) end
  end
end

-- The same sums as those of the reader of the ledger (`store.ledger`), for counters of a gateway without one. Anthropic
-- counts apart from the input what it read from a cache.
local function set_sums(handle, said)
  local out, into = first(said, 'completion_tokens', 'output_tokens', 'predicted_n'), first(said, 'prompt_tokens')
  if not into and said.input_tokens then into = said.input_tokens + (said.cache_read_input_tokens or 0) end
  if not into and said.prompt_n then into = said.prompt_n + (said.cache_n or 0) end
  if not into and not out then return end
  set(handle, 'tokens_in', into or 0)
  set(handle, 'tokens_cached', first(said, 'cached_tokens', 'cache_read_input_tokens', 'cache_n') or 0)
  set(handle, 'tokens_out', out or 0)
end

function envoy_on_response(handle)
  local kind = handle:headers():get('content-type') or ''
  local stream = kind:find('event-stream', 1, true) ~= nil
  if not stream and not kind:find('json', 1, true) then return end
  local state = { depth = 0, inside = false, names = {}, stream = stream, events = 0, said = {}, changed = false }
  local rest, told = '', nil
  for chunk in handle:bodyChunks() do
    local length = chunk:length()
    if length > 0 then rest = read(rest .. chunk:getBytes(0, length), state) end
    if stream and told ~= state.events then
      told = state.events
      state.said.events, state.changed = told, true
    end
    if state.changed and not SUMS then set_counts(handle, state) end
  end
  if SUMS then set_sums(handle, state.said) end
end
