# layout.awk: what abidw wrote in, one line out for each struct, member and callback type of ours:
#   struct imagine_options 832                           its size in bits
#   member imagine_options 64 loop void *                struct, offset in bits, name, type
#   type imagine_closed_cb void (*)(void *)
# abidiff says too little here: it passes a member that has another name, and a rule that lets it
# pass what was appended to a struct also lets pass what was changed in front of that.
function attribute(name) {
    if (!match($0, "[ ]" name "='[^']*'"))
        return ""
    return substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4)
}
function spell(id, depth) { # the type as C would write it; a name of its own ends the walk
    if (depth > 20 || !(id in kind))
        return "?"
    if (kind[id] == "pointer" && kind[target[id]] == "function")
        return spell_function(target[id], depth + 1)
    if (kind[id] == "pointer")
        return spell(target[id], depth + 1) " *"
    if (kind[id] == "const" && kind[target[id]] == "pointer")
        return spell(target[id], depth + 1) "const"
    if (kind[id] == "const")
        return "const " spell(target[id], depth + 1)
    return name_of[id]
}
# libabigail merges function types that are the same but for the names of numbers (int32_t, int).
function spell_plain(id, depth) {
    while (id in kind && kind[id] == "named" && id in target && name_of[id] !~ /^imagine_/)
        id = target[id]
    return spell(id, depth)
}
function spell_function(id, depth,    ids, count, i, text) {
    count = split(parameters[id], ids, " ")
    for (i = 1; i <= count; i++)
        text = text (i > 1 ? ", " : "") (ids[i] == "..." ? "..." : spell_plain(ids[i], depth))
    return spell_plain(target[id], depth) " (*)(" text ")"
}
/<(type-decl|class-decl|union-decl|enum-decl) / {
    id = attribute("id")
    kind[id] = "named"; name_of[id] = attribute("name")
    if ($0 ~ /<class-decl/ && attribute("size-in-bits") != "") {
        struct = name_of[id]
        is_new = struct ~ /^imagine_/ && !(struct in seen)
        seen[struct] = 1
        if (is_new)
            lines[++line_count] = "struct " struct " " attribute("size-in-bits")
    }
}
/<data-member / { offset = attribute("layout-offset-in-bits") }
/<var-decl / && is_new {
    lines[++line_count] = "member " struct " " offset " " attribute("name")
    type_of[line_count] = attribute("type-id")
}
/<\/class-decl>/ { is_new = 0 }
/<typedef-decl / {
    id = attribute("id")
    kind[id] = "named"; name_of[id] = attribute("name"); target[id] = attribute("type-id")
    if (name_of[id] ~ /^imagine_.*_cb$/ && !(name_of[id] in seen)) {
        seen[name_of[id]] = 1
        lines[++line_count] = "type " name_of[id]
        type_of[line_count] = attribute("type-id")
    }
}
/<pointer-type-def / { id = attribute("id"); kind[id] = "pointer"; target[id] = attribute("type-id") }
/<qualified-type-def / { id = attribute("id"); kind[id] = "const"; target[id] = attribute("type-id") }
/<array-type-def / {
    id = attribute("id")
    kind[id] = "named"; name_of[id] = "array of " attribute("size-in-bits") " bits"
}
/<function-type / { function_id = attribute("id"); kind[function_id] = "function"; parameters[function_id] = "" }
/<parameter / && function_id != "" {
    parameters[function_id] = parameters[function_id] " " \
        (attribute("is-variadic") == "yes" ? "..." : attribute("type-id"))
}
/<return / && function_id != "" { target[function_id] = attribute("type-id") }
/<\/function-type>/ { function_id = "" }
END {
    for (i = 1; i <= line_count; i++)
        print lines[i] (i in type_of ? " " spell(type_of[i], 0) : "")
}
