// notes/sections.hpp - the page's sections before its example.
#pragma once

void low_level_methods();
void awaitables();
void high_level_methods();
