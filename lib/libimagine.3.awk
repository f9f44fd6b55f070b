# libimagine.3.awk: the public headers in, libimagine(3) out. The headers are the documentation: this
# only turns them into a page. -v date=… -v version=…
#   a header's opening comment        its section's text
#   comments with dashes              headings
#   a comment, the declaration below  the declaration, the comment indented under it
# Declarations without a comment stand together as they do in the header.
BEGIN {
    printf ".\\\" Made from the headers by lib/libimagine.3.awk.\n"
    printf ".TH LIBIMAGINE 3 \"%s\" \"libimagine %s\" \"Library Functions Manual\"\n.nh\n", date, version
    print ".SH NAME\nlibimagine \\- pictures, texts and videos from any AI provider, in one call"
    print ".SH SYNOPSIS\n.nf\n.B #include <imagine.h>"
    for (i = 1; i < ARGC; i++)
        if (ARGV[i] ~ /imagine\/[a-z0-9]*\.h$/) print ".B #include <imagine/" base_of(ARGV[i]) ">"
    print ".PP\ncc program.c $(pkg\\-config \\-\\-cflags \\-\\-libs libimagine)\n.fi"
}
function base_of(path) { sub(/^.*\//, "", path); return path }
function escape(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/…/, "\\[u2026]", text)
    gsub(/\^/, "\\(ha", text)
    gsub(/~/, "\\(ti", text)
    return text
}
function guard(text) { return text ~ /^[.\047]/ ? "\\&" text : text }
function prose(text,    out) { # `name` in italics
    text = escape(text)
    while (match(text, /`[^`]+`/)) {
        out = out substr(text, 1, RSTART - 1) "\\fI" substr(text, RSTART + 1, RLENGTH - 2) "\\fR"
        text = substr(text, RSTART + RLENGTH)
    }
    return guard(out text)
}
function heading(macro, text) { print macro " \"" text "\""; is_fresh = 1 }
function paragraph() { if (!is_fresh) print ".PP"; is_fresh = 0 } # a heading is one already
function flush_code() { if (in_code) print ".fi\n.RE"; in_code = 0 }
function tell(text,    i, count, lines, line, key, is_gap) { # the text of a comment
    count = split(text, lines, "\n")
    is_gap = 1
    for (i = 1; i <= count; i++) {
        line = lines[i]
        if (line ~ /^    / || (in_code && line ~ /^ /)) {
            if (!in_code) { paragraph(); print ".RS 4\n.nf" }
            in_code = 1
            print guard(escape(substr(line, 5)))
            continue
        }
        if (in_code) { flush_code(); is_gap = 1 }
        sub(/^ +/, "", line)
        if (line == "") { is_gap = 1; continue }
        if (line ~ /^- /) { print ".IP \\(bu 2"; is_fresh = 0; line = substr(line, 3); is_gap = 0 }
        else if (match(line, /^@param [a-z_]+ */)) {
            key = line; sub(/^@param /, "", key); sub(/ .*/, "", key)
            print ".TP\n.I " key; line = substr(line, RLENGTH + 1); is_gap = 0
        } else if (sub(/^@return /, "", line)) { paragraph(); print "Returns"; is_gap = 0 }
        else if (match(line, /^(Ownership|Thread|Callback|Memory): /)) {
            paragraph(); print ".B " substr(line, 1, RLENGTH - 1); line = substr(line, RLENGTH + 1); is_gap = 0
        } else if (is_gap) { paragraph(); is_gap = 0 }
        sub(/@return /, "Returns ", line)
        if (line != "") print prose(line)
    }
    flush_code()
}
function flush_entry() { # the declarations collected, with the comment above them
    if (declaration != "") {
        paragraph(); print ".nf"
        printf "%s", declaration
        print ".fi"
        if (comment != "") { print ".RS 4"; is_fresh = 0; tell(comment); print ".RE" }
    } else if (comment != "")
        tell(comment)
    declaration = ""; comment = ""
}
function add_code(text) {
    sub(/^IMAGINE_API /, "", text)
    declaration = declaration (text == "" ? "\\&" : guard(escape(text))) "\n"
}

FNR == 1 {
    flush_entry()
    name = FILENAME ~ /imagine\/[a-z0-9]*\.h$/ ? "imagine/" base_of(FILENAME) : base_of(FILENAME)
    heading(".SH", "<" toupper(name) ">")
    depth = 0; is_skipped = 0; is_open = 0
}
/^#ifdef __cplusplus/ { is_skipped = 1; next }
/^#else/ { is_skipped = 0; next }
/^#endif/ { is_skipped = 0; next }
is_skipped || /^#(include|ifndef|undef)/ || /^#define IMAGINE_(([A-Z0-9]+_)?H$|API )/ { next }
/^\/\* ---- / {
    flush_entry()
    title = $0
    gsub(/^\/\* -+ | -+.*$/, "", title)
    heading(".SS", toupper(substr(title, 1, 1)) escape(substr(title, 2)))
    next
}
/^ \*\/$/ && !in_comment { next } # where that comment ends
/^\/\*/ && !is_open {
    flush_entry()
    in_comment = 1
    line = $0
    sub(/^\/\*+ ?/, "", line)
    in_comment = !sub(/ *\*\/ *$/, "", line)
    comment = line
    next
}
in_comment {
    line = $0
    in_comment = !sub(/ *\*\/ *$/, "", line)
    sub(/^ ?\* ?/, "", line)
    comment = comment "\n" line
    next
}
/^$/ && !is_open { flush_entry(); next }
{ # a line of code
    if (!is_open && comment != "" && declaration != "" && /^IMAGINE_API/) flush_entry()
    add_code($0)
    code = $0
    gsub(/\/\*([^*]|\*[^\/])*\*\//, "", code)
    depth += gsub(/\{/, "{", code) - gsub(/\}/, "}", code)
    is_open = code ~ /\\$/ || depth > 0 || (code !~ /^#/ && code !~ /[;}][ ]*(\/\*.*)?$/)
}
END { flush_entry() }
