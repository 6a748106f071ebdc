"""Error texts without what differs from job to job, and the id of the error group that a failed job belongs to."""

SHOWN_CHARACTERS = 200  # of an error text in a list
READ_CHARACTERS = 1_000  # of an error text; cut before the replacement, so that each text costs little
NORMAL_CHARACTERS = 200  # of the normalised text: an id of another length before them must not move the cut
ID_CHARACTERS = 12  # 48 bits: a tenant has a few thousand groups at most

# A quotation whose first quote follows no letter (can't), with all that is quoted.
_QUOTED = r"""$$"[^"]*"|(?<![[:alnum:]])'[^']*'|`[^`]*`$$"""
# A word with a digit, and what follows it after a dot, colon or comma if that has a digit, too: numbers, UUIDs,
# hexadecimal digits, times, addresses with ports.
_NUMBERED = r"$$[[:alnum:]_-]*[0-9][[:alnum:]_-]*([.:,][[:alnum:]_-]*[0-9][[:alnum:]_-]*)*$$"

_WITHOUT_QUOTED = f"regexp_replace(left(coalesce({{text}}, ''), {READ_CHARACTERS}), {_QUOTED}, '#', 'g')"
#: The normalised text of an error: `#` stands for quotations, numbers and ids. 5,000 texts take 40 ms.
NORMALISED = f"left(regexp_replace({_WITHOUT_QUOTED}, {_NUMBERED}, '#', 'g'), {NORMAL_CHARACTERS})"

#: The id of an error group, of an operation, an error type and a normalised text.
GROUP_ID = f"""left(encode(sha256(convert_to(
    {{operation}} || chr(10) || {{type}} || chr(10) || {{normalised}}, 'UTF8')), 'hex'), {ID_CHARACTERS})"""
