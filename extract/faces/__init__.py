"""Raw video -> face crops.

boxes.py: Where the faces were: one row per person and frame.
crop_videos.py: Raw videos -> face crops in the ABAW layout.
crops.py: One video -> folders of face crops, `00001.jpg` by the video's own frame numbers.
detector.py: YuNet, the face detector: a picture's faces as boxes. MIT licence; run by cv2.FaceDetectorYN.
live.py: Faces of a video while it is being made: who is where, from what was seen so far.
people.py: All people of a film, each with a number: their boxes by frame, and how well each face can be seen.
steady_boxes.py: Detected face boxes -> one steady box per frame and person.
tracker.py: Detections -> who is who, frame by frame, for any number of people, by numbers that stay while in sight.
"""
