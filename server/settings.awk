# settings.awk: `imagine-server --help` in, the settings as a list of a man page out: all of them,
# as the program knows them. What comes before the first one is not for the page.
function escape(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/~/, "\\(ti", text)
    return text ~ /^[.\047]/ ? "\\&" text : text
}
/^  [A-Z<]/ {
    name = $1
    rest = substr($0, index($0, name) + length(name))
    print ".TP\n.B " escape(name) escape(rest)
    is_in = 1
    next
}
is_in && /^      / { sub(/^ +/, ""); print escape($0); next }
/^[^ ]/ { is_in = 0 }
