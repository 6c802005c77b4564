"""What the checks need to know about a C file, found without a compiler.

Relies on the house format: the braces of a function stand alone in column 0.
"""
import re

TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
FUNCTION_NAME = re.compile(r"([A-Za-z_]\w*)\s*\(")
ATTRIBUTE = re.compile(r"__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)|_Alignas\s*\([^()]*\)")
NOT_A_VARIABLE = re.compile(r"\s*(typedef|extern|_Static_assert|static_assert|GFS_\w+\()")


def blank(text):
    """Same length and line breaks, every character of a comment or literal a space.

    The quotes of literals stay, so that a call with a literal still looks like one.
    """
    def fill(match):
        token = match[0]
        hidden = re.sub(r"[^\n]", " ", token)
        return token[0] + hidden[1:-1] + token[-1] if token[0] in "\"'" else hidden
    return TOKEN.sub(fill, text)


def only_comments(text):
    """Same length and line breaks, everything outside comments a space."""
    hidden, end = [], 0
    for match in TOKEN.finditer(text):
        hidden.append(re.sub(r"[^\n]", " ", text[end:match.start()]))
        token = match[0]
        hidden.append(token if token[0] == "/" else re.sub(r"[^\n]", " ", token))
        end = match.end()
    return "".join(hidden) + re.sub(r"[^\n]", " ", text[end:])


def without_preprocessor(code):
    """Blanks directives, with their continued lines."""
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*",
                  lambda match: re.sub(r"[^\n]", " ", match[0]), code, flags=re.M)


class CSource:
    def __init__(self, text):
        self.text = text
        self.lines = text.split("\n")
        self.code = blank(text)
        self.code_lines = self.code.split("\n")
        self.plain = without_preprocessor(self.code)

    def includes(self):
        """(line number, '<' or '"', name) of each include."""
        for number, line in enumerate(self.lines, 1):
            match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if match:
                yield number, match[1], match[2]

    def functions(self):
        """(first line, last line, name); the first line is that of the return type."""
        lines = self.plain.split("\n")
        start = None
        for index, line in enumerate(lines):
            if line.rstrip() == "{":
                start = index
                while start > 0 and lines[start - 1].strip() and lines[start - 1].rstrip() != "}":
                    start -= 1
                opened = index
            elif line.rstrip() == "}" and start is not None:
                head = ATTRIBUTE.sub("", " ".join(lines[start:opened]))
                name = FUNCTION_NAME.search(head)
                yield start + 1, index + 1, name[1] if name else "?"
                start = None

    def statements(self):
        """(line number, text) of each declaration at file scope; bodies in braces are cut out."""
        depth, begun, out = 0, None, []
        line = 1
        for char in self.plain:
            if char == "\n":
                line += 1
            if depth == 0 and begun is None and not char.isspace() and char not in ";}":
                begun, out = line, []
            if char == "{":
                depth += 1
                if depth == 1:
                    out.append("{}")
                continue
            if char == "}":
                depth -= 1
                text = "".join(out)
                # the end of a function: nothing follows it, and no = or struct before its brace
                if depth == 0 and re.search(r"\)\s*\{\}$", text) and "=" not in text:
                    yield begun, text
                    begun = None
                continue
            if depth > 0 or begun is None:
                continue
            if char == ";":
                yield begun, "".join(out)
                begun = None
            else:
                out.append(char)

    def mutable_globals(self):
        """(line number, name) of each variable of static storage that is not const."""
        for number, text in self.statements():
            flat = " ".join(ATTRIBUTE.sub("", text).split())
            if NOT_A_VARIABLE.match(flat):
                continue
            head = re.split(r"=|\{\}(?=\s*$)", flat)[0].strip()
            if "=" not in flat and is_function_or_type(flat, head):
                continue
            name = re.search(r"\(\*(?:const )?(\w+)|(\w+)\s*(?:\[[^\]]*\]\s*)*$", head)
            if name and not is_const(head):
                yield number, name[1] or name[2]
        for first, last, _ in self.functions():
            for number in range(first, last):
                line = self.code_lines[number]
                match = re.match(r"\s+static\s+(?!inline\b)([^=;(]*)", line)
                if match and not is_const(match[1]):
                    name = re.search(r"(\w+)\s*(?:\[[^\]]*\]\s*)*$", match[1])
                    yield number + 1, name[1] if name else "?"

    def prototypes(self):
        """(line number, returned type and name) of each function declared, members too."""
        pattern = re.compile(r"^[ \t]*((?:[A-Za-z_]\w*[ \t\n*]+)+?)(\(\*\w+\)|\w+)\(", re.M)
        for match in pattern.finditer(self.plain):
            kind = " ".join(match[1].split())
            if kind.split()[0] not in ("return", "else", "typedef"):
                yield self.plain.count("\n", 0, match.start(1)) + 1, kind, match[2].strip("(*)")


def is_function_or_type(flat, head):
    """A declaration without = : a type, a function, or one with its body."""
    if re.match(r"(struct|union|enum)\b[^(]*\{\}$", flat):
        return True
    if re.fullmatch(r"(struct|union|enum) \w+", head):
        return True
    paren = head.find("(")
    return paren >= 0 and "[" not in head[:paren] and not head.startswith("(*", paren)


def is_const(head):
    """Is the object itself const: what a declaration without its name and dimensions says."""
    if "(*" in head:
        return "(*const" in head
    after_star = head.rsplit("*", 1)
    return re.search(r"\bconst\b", after_star[-1]) is not None
