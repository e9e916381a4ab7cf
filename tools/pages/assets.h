// The HTML pages, carried inside the program. Each is one file that asks for no other.
#pragma once

#include <string>

namespace sluice {

std::string GraphPage();  // a graph to look at; {{data}} is to be filled in
std::string ServePage();  // of `sluice serve`: chat, and what the server does

}  // namespace sluice
