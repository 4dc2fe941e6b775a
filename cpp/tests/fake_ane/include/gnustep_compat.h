#pragma once

// Included before every Objective-C++ file of the GNUstep build: makes clang, GNUstep and gcc's
// runtime agree on the constants that Apple's Foundation gives for granted.

#import <Foundation/Foundation.h>

#undef YES
#undef NO
#undef nil
#undef Nil
#define YES __objc_yes
#define NO __objc_no
#define nil nullptr
#define Nil nullptr
